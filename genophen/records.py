"""Reading back the JSON that genophen wrote: capped, and of the shape that its readers rely on.

Each reader raises OSError for a file that cannot be read, and ValueError for one that is something else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

MAX_BYTES = 64 * 2**20


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Parameters(_Record):
    kernel: int
    total: int


class _Measured(_Record):
    test_accuracy: float | None
    validation_accuracy: float | None
    best_round: int | None
    rounds: int
    wall_seconds: float
    parameters: _Parameters


class _Result(_Measured):
    status: str
    signal: int | None


class _Trial(_Measured):
    seed: int
    settings: dict[str, Any]


class _Line(_Record):
    model: str
    test_accuracy_mean: float | None
    test_accuracy_std: float | None
    kernel_parameters: int | None
    reported_test_accuracy: float | None
    reported_kernel_parameters: int | None
    trials: list[_Trial] = []


class _Machine(_Record):
    device: str
    device_name: str
    threads: int


class _Data(_Record):
    name: str
    sha256: str


class _Environment(_Record):
    packages: dict[str, str | None]
    machine: _Machine
    git_commit: str | None
    dataset: _Data


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return _parsed(_content(path))


def read_result(path: Path) -> dict[str, Any]:
    """A run's `result.json`."""
    return _checked(_Result, path)


def read_environment(path: Path) -> dict[str, Any]:
    """A run's `environment.json`."""
    return _checked(_Environment, path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl` or `timings.jsonl`."""
    rows = [_parsed(line) for line in _content(path).splitlines()]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("round"), int):
            raise ValueError(f"line {number} is no row of a round")
    return rows


def read_table(path: Path) -> list[dict[str, Any]]:
    """The lines of a sweep's table."""
    return _checked(list[_Line], path)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    return content


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _checked(kind: Any, path: Path) -> Any:
    value = read_json(path)
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from None
    return value

"""The JSON files of runs and sweeps, and reading them back: capped, and of the shape that readers rely on.

Files may have been edited by hand. Each reader raises OSError for one that cannot be read, and ValueError for
one that is something else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_BYTES = 64 * 2**20


Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]


class Record(BaseModel):
    """A JSON object; keys that no reader needs may be there too."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Counts(Record):
    total: Count
    kernel: Count


class Parameters(Counts):
    searched: Count


class _Measured(Record):
    test_accuracy: Fraction | None
    validation_accuracy: Fraction | None
    best_round: Count | None
    rounds: Count
    wall_seconds: Seconds


class Result(_Measured):
    """`result.json`."""

    status: Literal["completed", "stopped-early", "interrupted", "diverged"]
    stop_reason: str | None
    signal: int | None
    architecture: str
    genotype: str
    optimizer: str
    dataset: str
    seed: Count
    parameters: Parameters
    sample_evaluations: Count
    backward_samples: Count


class DatasetRecord(Record):
    name: str
    sha256: str
    images: dict[str, Count] | None = None


class Machine(Record):
    device: str
    device_name: str
    threads: Count

    def __str__(self) -> str:
        return f"{self.device_name}, {self.threads} threads"


class UsedPlugin(Record):
    kind: str
    name: str
    distribution: str | None = None
    version: str | None = None


class Environment(Record):
    """`environment.json`."""

    packages: dict[str, str | None]
    machine: Machine
    git_commit: str | None
    dataset: DatasetRecord
    plugins: list[UsedPlugin]


class MetricsRow(Record):
    """A row of `metrics.jsonl`."""

    round: Count
    validation_accuracy: Fraction
    sample_evaluations: Count
    train_loss: float | None = None
    validation_loss: float | None = None


class TimingsRow(Record):
    """A row of `timings.jsonl`."""

    round: Count
    seconds: Seconds


class Trial(_Measured):
    """What a sweep's table keeps of one trial."""

    seed: Count
    settings: dict[str, Any]
    parameters: Counts


class Line(Record):
    """A line of a sweep's table."""

    model: str
    test_accuracy_mean: float | None
    test_accuracy_std: float | None
    kernel_parameters: Count | None
    reported_test_accuracy: float | None
    reported_kernel_parameters: Count | None
    trials: list[Trial] = []


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return _parsed(read_bytes(path))


def read_result(path: Path) -> dict[str, Any]:
    """A run's `result.json`."""
    return _checked(Result, path)


def read_environment(path: Path) -> dict[str, Any]:
    """A run's `environment.json`."""
    return _checked(Environment, path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl` or `timings.jsonl`."""
    rows = [_parsed(line) for line in read_bytes(path).splitlines()]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("round"), int):
            raise ValueError(f"line {number} is no row of a round")
    return rows


def read_table(path: Path) -> list[dict[str, Any]]:
    """The lines of a sweep's table."""
    return _checked(list[Line], path)


def read_bytes(path: Path) -> bytes:
    """What a file holds, if it is no larger than any that genophen writes."""
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

"""Reading the JSON files of runs and sweeps back: capped, and of the shape that readers rely on.

Files may have been edited by hand. What is wrong with what one holds is an `UnreadableError`; a link, a pipe
and the like in its place is another DamagedError.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from genophen.contracts.options import shown
from genophen.errors import DamagedError
from genophen.storage.guard import GuardedPath
from genophen.storage.older import environment_of_today, line_of_today, result_of_today, row_of_today
from genophen.storage.records import Environment, Line, NumberedRow, Record, Result

RecordT = TypeVar("RecordT", bound=Record)

_AS_WRITTEN = "the file as genophen wrote it"


class UnreadableError(DamagedError):
    """A file that is not what genophen writes, or is not there."""


def unreadable(file: GuardedPath, found: str, allowed: str = _AS_WRITTEN) -> UnreadableError:
    """The error for a file in which something is wrong."""
    return UnreadableError(
        f"cannot read {file}",
        found=found,
        allowed=allowed,
        next_step=f"restore the file from a copy, or leave {file.parent} out",
    )


def read_json(file: GuardedPath) -> Any:
    """The value in a JSON file."""
    return _parsed(file, _content(file))


def read_record(file: GuardedPath, cls: type[RecordT]) -> RecordT:
    """A JSON file of a run, as far as readers rely on it."""
    record: RecordT = _checked_in(file, cls, read_json(file))
    return record


def read_rows(file: GuardedPath, cls: type[RecordT], *, growing: bool = False) -> list[RecordT]:
    """The rows of a `.jsonl` file; of one that is `growing`, without a last line that is not whole yet."""
    return [_checked_in(file, cls, row, f"line {number}: ") for number, row in _lines(file, growing)]


def read_result(file: GuardedPath) -> dict[str, Any]:
    """All that a run's `result.json` says."""
    result: dict[str, Any] = result_of_today(read_json(file))
    _checked_in(file, Result, result)
    return result


def read_environment(file: GuardedPath) -> dict[str, Any]:
    """All that a run's `environment.json` says."""
    environment: dict[str, Any] = environment_of_today(read_json(file))
    _checked_in(file, Environment, environment)
    return environment


def read_whole_rows(file: GuardedPath) -> list[dict[str, Any]]:
    """All that the rows of a run's `metrics.jsonl` or `timings.jsonl` say."""
    rows = []
    for number, row in _lines(file):
        _checked_in(file, NumberedRow, row, f"line {number}: ")
        rows.append(row_of_today(row))
    return rows


def read_table(file: GuardedPath) -> list[dict[str, Any]]:
    """The lines of a sweep's table."""
    lines = read_json(file)
    if isinstance(lines, list):
        lines = [line_of_today(line) for line in lines]
    _checked_in(file, list[Line], lines)
    table: list[dict[str, Any]] = lines
    return table


def checked(kind: Any, value: Any) -> Any:
    """The value itself, if it is of a kind that pydantic knows; a ValueError with the place that is not."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from None
    return value


def _content(file: GuardedPath) -> bytes:
    try:
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise unreadable(file, getattr(error, "strerror", None) or str(error)) from None


def _lines(file: GuardedPath, growing: bool = False) -> list[tuple[int, Any]]:
    content = _content(file)
    whole = content[: content.rfind(b"\n") + 1] if growing else content
    lines = enumerate(whole.splitlines(), 1)
    return [(number, _parsed(file, line, f"line {number}: ")) for number, line in lines]


def _parsed(file: GuardedPath, content: bytes, place: str = "") -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        raise unreadable(file, f"{place}no JSON object: it is nested too deep") from None
    except ValueError as error:
        raise unreadable(file, f"{place}no JSON object: {error}") from None


def _checked_in(file: GuardedPath, kind: Any, value: Any, place: str = "") -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise unreadable(file, f"{place}{field} is missing") from None
        if not field:
            raise unreadable(file, f"{place}no JSON object, but {shown(value)}") from None
        found = f"{place}{field} is {shown(first['input'])}"
        raise unreadable(file, found, first["msg"].removeprefix("Input should be ")) from None

"""The JSON files of runs and sweeps, and reading them back: capped, and of the shape that readers rely on.

Files may have been edited by hand. Each reader raises OSError for one that cannot be read, ValueError for one
that is something else, and a DamagedError for a link, a pipe and the like in its place.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from genophen.contracts.measure import Measure
from genophen.storage.guard import GuardedPath
from genophen.storage.older import environment_of_today, line_of_today, result_of_today, row_of_today

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class Record(BaseModel):
    """A JSON object; keys that no reader needs may be there too."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Counts(Record):
    total: Count
    kernel: Count


class Parameters(Counts):
    searched: Count


class Measured(Record):
    """What scores are called (see `Measure`)."""

    measure: str
    percent: bool
    negated: bool

    def how(self) -> Measure:
        """The measure, with how its scores are written."""
        return Measure(self.measure, self.percent, self.negated)


class _Scored(Measured):
    test_score: float | None
    validation_score: float | None
    task: str
    best_round: Count | None
    rounds: Count
    wall_seconds: Seconds

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, values: Any) -> Any:
        return result_of_today(values)

    @field_validator("test_score", "validation_score")
    @classmethod
    def _fractions_are_between_0_and_1(cls, score: float | None, info: ValidationInfo) -> float | None:
        if score is not None and info.data.get("percent") and not 0 <= score <= 1:
            raise ValueError("between 0 and 1, as a fraction is")
        return score


class Result(_Scored):
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


class TaskRecord(Measured):
    name: str


class Environment(Record):
    """`environment.json`."""

    packages: dict[str, str | None]
    machine: Machine
    git_commit: str | None
    task: TaskRecord
    dataset: DatasetRecord
    plugins: list[UsedPlugin]

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, values: Any) -> Any:
        return environment_of_today(values)


class MetricsRow(Record):
    """A row of `metrics.jsonl`."""

    round: Count
    validation_score: float | None
    sample_evaluations: Count
    train_loss: float | None = None
    validation_loss: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, values: Any) -> Any:
        return row_of_today(values)


class TimingsRow(Record):
    """A row of `timings.jsonl`."""

    round: Count
    seconds: Seconds


class TrialRecord(_Scored):
    """What a sweep's table keeps of one trial."""

    seed: Count
    settings: dict[str, Any]
    parameters: Counts


class Line(Measured):
    """A line of a sweep's table."""

    model: str
    test_score_mean: float | None
    test_score_std: float | None
    kernel_parameters: Count | None
    reported_test_score: float | None
    reported_kernel_parameters: Count | None
    trials: list[TrialRecord] = []


def read_json(file: GuardedPath) -> Any:
    """The value in a JSON file."""
    return _parsed(file.read_bytes())


def read_result(file: GuardedPath) -> dict[str, Any]:
    """A run's `result.json`."""
    return checked(Result, result_of_today(read_json(file)))


def read_environment(file: GuardedPath) -> dict[str, Any]:
    """A run's `environment.json`."""
    return checked(Environment, environment_of_today(read_json(file)))


def read_rows(file: GuardedPath) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl` or `timings.jsonl`."""
    rows = [row_of_today(_parsed(line)) for line in file.read_bytes().splitlines()]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("round"), int):
            raise ValueError(f"line {number} is no row of a round")
    return rows


def read_table(file: GuardedPath) -> list[dict[str, Any]]:
    """The lines of a sweep's table."""
    lines = read_json(file)
    return checked(list[Line], [*map(line_of_today, lines)] if isinstance(lines, list) else lines)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def checked(kind: Any, value: Any) -> Any:
    """The value itself, if it is of a kind that pydantic knows; a ValueError with the place that is not."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from None
    return value

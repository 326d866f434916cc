"""What the JSON files of runs and sweeps hold, as far as readers rely on it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from genophen.contracts.measure import Measure
from genophen.errors import counted
from genophen.storage.older import environment_of_today, result_of_today, row_of_today

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]

#: Statuses of runs that came to their end, so that their test images were looked at: these count.
ENDED = ("completed", "stopped-early")


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
    train_loss_name: str = "train loss"
    parameters: Parameters
    sample_evaluations: Count
    backward_samples: Count
    #: Of candidates in a task of episodes, and trials that tested whether it is solved.
    episodes: Count = 0
    test_episodes: Count = 0


class DatasetRecord(Record):
    name: str
    sha256: str
    images: dict[str, Count] | None = None


class Machine(Record):
    device: str
    device_name: str
    threads: Count

    def __str__(self) -> str:
        return f"{self.device_name}, {counted(self.threads, 'thread')}"


class UsedPlugin(Record):
    kind: str
    name: str
    distribution: str | None = None
    version: str | None = None
    #: Of a file loaded with --plugin, whose path stands for the distribution.
    sha256: str | None = None

    @property
    def file(self) -> str | None:
        """The path of the single file that it came from; None for an installed one."""
        return self.distribution if self.sha256 else None


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
    """A row of `metrics.jsonl`; what else its optimizer or task has recorded stays with it."""

    model_config = ConfigDict(extra="allow")

    round: Count
    validation_score: float | None
    sample_evaluations: Count
    train_loss: float | None = None
    validation_loss: float | None = None
    episodes: Count = 0

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, values: Any) -> Any:
        return row_of_today(values)


class NumberedRow(Record):
    """A row of `metrics.jsonl`, `timings.jsonl` or `growth.jsonl`."""

    round: Count


class GrowthRow(NumberedRow):
    """A row of `growth.jsonl`: a growing genotype's structure, and its numbers by parameter."""

    structure: Any
    weights: dict[str, list[float]]


class TimingsRow(NumberedRow):
    """A row of `timings.jsonl`."""

    seconds: Seconds


class Provenance(Record):
    """What a trial was run with and on, in words."""

    commit: str
    versions: str
    machine: str
    data: str


class TrialRecord(_Scored):
    """What a sweep's table keeps of one trial."""

    seed: Count
    settings: dict[str, Any]
    parameters: Counts
    provenance: Provenance | None = None


class Line(Measured):
    """A line of a sweep's table."""

    model: str
    test_score_mean: float | None
    test_score_std: float | None
    kernel_parameters: Count | None
    reported_test_score: float | None
    reported_kernel_parameters: Count | None
    trials: list[TrialRecord] = []

"""Reporters: who is told how a run goes on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from genophen.contracts.measure import ACCURACY, Measure


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run before its first step."""

    directory: Path
    architecture: str
    genotype: str
    optimizer: str
    #: Name of the data set, or of the task where it uses none.
    dataset: str
    device: str
    total_rounds: int
    steps_per_round: int
    #: As in `result.json`: total, kernel, embedding, generator, direct, searched.
    parameters: Mapping[str, int]
    #: Images, or what else the task's inputs are, in each split, by name.
    images: Mapping[str, int]
    #: What `images` counts.
    inputs: str = "images"
    #: What the run is trained for, and what its scores are called and how they are written.
    task: str = "classification"
    measure: Measure = ACCURACY
    #: What the rows' `train_loss` is, as the optimizer says.
    train_loss: str = "train loss"
    #: Where a resumed run goes on: rounds that are done, steps of the next one, best validation score.
    rounds_done: int = 0
    steps_done: int = 0
    best_score: float | None = None

    @property
    def best_accuracy(self) -> float | None:
        """`best_score`, as it was called before there were other tasks."""
        return self.best_score


class Reporter(ABC):
    """Is told of a run's start, steps, rounds and end, in that order.

    A subclass sets `name` and `description` and writes the four abstract methods.
    """

    name: ClassVar[str]
    description: ClassVar[str]

    @abstractmethod
    def start(self, info: RunInfo) -> None:
        """The run begins."""

    @abstractmethod
    def step(self) -> None:
        """One step is done."""

    @abstractmethod
    def round(self, row: Mapping[str, Any], seconds: float) -> None:
        """One round is done: its row of `metrics.jsonl`, and how long it took."""

    def doing(self, what: str, done: float | None = None) -> None:  # noqa: B027
        """What goes on while no step ends, such as `validating`, and how much of it is done, from 0 to 1.

        Comes often, at any time between start and end, and says nothing that has to be kept.
        """

    @abstractmethod
    def end(self, result: Mapping[str, Any]) -> None:
        """The run is over: its `result.json`; also called after an error, with `status` alone."""

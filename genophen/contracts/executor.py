"""Executors: who runs the trials of a sweep, one after another or many at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Job:
    """A call that can be made in another process: `function(*arguments)`, all of it picklable."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its value, or the error that it raised, as text.

    `note` says what else its user should know.
    """

    job: Job
    value: Any = None
    error: str = ""
    note: str = ""


class Executor(ABC):
    """Runs jobs and hands their outcomes over as they come.

    A subclass sets `name` and `description` and writes `run`. A job that raises becomes an outcome with
    its error; it does not stop the others.
    """

    name: ClassVar[str]
    description: ClassVar[str]

    def __init__(self, jobs: int = 1, address: str | None = None) -> None:
        """`jobs` of them at a time; `address` of the cluster, for an executor that joins one."""
        self.jobs = jobs
        self.address = address

    @abstractmethod
    def run(self, queue: Sequence[Job]) -> Generator[Outcome]:
        """Every job's outcome, in the order in which they end; closing the generator ends what runs."""


def run_job(job: Job) -> Outcome:
    """Run a job here and now; an exception becomes the outcome's error."""
    try:
        return Outcome(job, job.function(*job.arguments))
    except Exception as error:
        return Outcome(job, error=f"{type(error).__name__}: {error}")

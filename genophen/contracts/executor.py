"""Executors: who runs the trials of a sweep, one after another or many at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Task:
    """A call that can be made in another process: `function(*arguments)`, all of it picklable."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its value, or the error that it raised, as text.

    `note` says what else its user should know.
    """

    task: Task
    value: Any = None
    error: str = ""
    note: str = ""


class Executor(ABC):
    """Runs tasks and hands their outcomes over as they come.

    A subclass sets `name` and `description` and writes `run`. A task that raises becomes an outcome with
    its error; it does not stop the others.
    """

    name: ClassVar[str]
    description: ClassVar[str]

    def __init__(self, jobs: int = 1, address: str | None = None) -> None:
        """`jobs` tasks at a time; `address` of the cluster, for an executor that joins one."""
        self.jobs = jobs
        self.address = address

    @abstractmethod
    def run(self, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Every task's outcome, in the order in which they end; closing the generator ends what runs."""


def run_task(task: Task) -> Outcome:
    """Run a task here and now; an exception becomes the outcome's error."""
    try:
        return Outcome(task, task.function(*task.arguments))
    except Exception as error:
        return Outcome(task, error=f"{type(error).__name__}: {error}")

"""The outcome of contract checks: each by itself, with what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from genophen.contracts.options import Options
from genophen.errors import GenophenError, one_line
from genophen.plugins.contract import contract_problem
from genophen.plugins.isolation import cause, place


@dataclass(frozen=True)
class Finding:
    """One check: what the contract wants and, where that is not so, what is wrong and how to mend it."""

    wanted: str
    problem: str = ""
    error: BaseException | None = None


class _StopChecking(Exception):  # noqa: N818
    """A check has failed that the later ones build on."""


class Findings:
    """The checks of one class, in order."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    @contextmanager
    def check(self, wanted: str) -> Iterator[None]:
        """Record whether the block goes through; an exception in it is a problem, and is not raised."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self.all.append(Finding(wanted, _problem(error), error))
        else:
            self.all.append(Finding(wanted))

    @contextmanager
    def needed(self, wanted: str) -> Iterator[None]:
        """The same for what the later checks need: where it fails, they are left out."""
        with self.check(wanted):
            yield
        if self.all[-1].problem:
            raise _StopChecking

    def collect(self, examine: Callable[..., None], *arguments: Any) -> None:
        """Run checks; `examine` takes these findings, then the arguments."""
        try:
            examine(self, *arguments)
        except _StopChecking:
            return

    def raise_problems(self, what: str) -> None:
        """Raise an AssertionError with every problem found, if there is any."""
        problems = [finding for finding in self.all if finding.problem]
        if problems:
            lines = [f"  - {finding.wanted}: {finding.problem}" for finding in problems]
            raise AssertionError("\n".join([f"{what} breaks its contract", *lines])) from problems[0].error


def require(condition: bool, message: str) -> None:
    """Raise an AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def check_class(kind: str, cls: type) -> None:
    """Raise an AssertionError unless `cls` can be a plugin of a kind."""
    problem = contract_problem(kind, cls)
    require(not problem, problem)
    description: str = cls.description  # type: ignore[attr-defined]
    require(bool(description.strip()), "its description is empty: write one line, for `plugins list`")


def default_options(cls: Any, options: Options | None) -> Options:
    """The options given, or the class's defaults."""
    if options is not None:
        return options
    missing = [name for name, field in cls.Options.model_fields.items() if field.is_required()]
    require(
        not missing,
        f"{cls.Options.__name__} has no default for {', '.join(missing)}: give every setting one, "
        'such as width: int = Field(16, description="channels")',
    )
    made: Options = cls.Options()
    return made


def check_call(method: Callable[..., Any], advice: str, *arguments: object) -> None:
    """Raise an AssertionError, with the advice, unless the method can be called with those arguments."""
    try:
        inspect.signature(method).bind(*arguments)
    except TypeError as error:
        # Here without `from`: the author's own code has not been called.
        raise AssertionError(
            f"{method.__name__}() cannot be called as genophen does: {error}; {advice}"
        ) from None


def _problem(error: BaseException) -> str:
    if isinstance(error, AssertionError) and str(error):
        return one_line(str(error))
    if isinstance(error, GenophenError):
        allowed = f"allowed: {error.allowed}" if error.allowed else ""
        parts = (error.attempted, error.found, allowed, error.next_step)
        return one_line("; ".join(part for part in parts if part))
    where = place(error)
    return f"raised {cause(error)}" + (f" ({where})" if where else "")

"""Reporters whose failures end no run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from genophen.contracts.reporter import Reporter, RunInfo
from genophen.plugins.isolation import cause


class Guarded(Reporter):
    """Passes everything on to a reporter until it raises; the run then goes on without it."""

    def __init__(self, reporter: Reporter, name: str, notify: Callable[[str], None]) -> None:
        self._reporter, self._name, self._notify = reporter, name, notify
        self._working = True

    def start(self, info: RunInfo) -> None:
        self._tell(self._reporter.start, info)

    def step(self) -> None:
        self._tell(self._reporter.step)

    def round(self, row: Mapping[str, Any], seconds: float) -> None:
        self._tell(self._reporter.round, row, seconds)

    def doing(self, what: str, done: float | None = None) -> None:
        self._tell(self._reporter.doing, what, done)

    def end(self, result: Mapping[str, Any]) -> None:
        self._tell(self._reporter.end, result)

    def _tell(self, method: Callable[..., None], *arguments: object) -> None:
        if not self._working:
            return
        try:
            with redirect_stdout(sys.stderr):  # stdout is the result's
                method(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._working = False
            self._notify(f"the reporter {self._name} raised {cause(error)}: it is told nothing more")

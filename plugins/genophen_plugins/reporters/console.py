"""The reporters; the console's is here: a progress bar on a terminal, one line a round otherwise."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

import genophen
from genophen_plugins.reporters.mlflow import MLflowReporter
from genophen_plugins.reporters.tensorboard import TensorBoardReporter

#: Where there is no bar, a line says what goes on after so many seconds without one.
_QUIET_SECONDS = 10.0


class _TimeLeft(TimeRemainingColumn):
    """No time once the steps are done: what comes then, validating and testing, is not counted in steps."""

    def render(self, task: Task) -> Text:
        return Text("") if task.finished else super().render(task)


class ConsoleReporter(genophen.Reporter):
    """Writes to stderr, so that stdout is left to the result. Heeds NO_COLOR and FORCE_COLOR."""

    name = "console"
    description = "progress bar on a terminal, one line a round otherwise (stderr)"

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._steps_per_round = 0
        self._total_rounds = 0
        self._best = -math.inf
        self._last_line = time.monotonic()

    def start(self, info: genophen.RunInfo) -> None:
        self._steps_per_round, self._total_rounds = info.steps_per_round, info.total_rounds
        counts = info.parameters
        self._measure, self._loss = info.measure, info.train_loss
        counted = " / ".join(f"{count:,}" for count in info.images.values())
        self._print(
            f"{info.architecture} by {info.genotype}, {info.optimizer} on {info.dataset}"
            + (f" ({counted} {info.inputs})" if counted else "")
            + f", {info.device}"
        )
        self._print(
            f"parameters: {counts['kernel']:,} kernel + {counts['direct']:,} direct = {counts['total']:,}"
        )
        self._print(f"writing to {info.directory}")
        if info.best_score is not None:
            self._best = info.best_score
            place = f"round {info.rounds_done}" + (f", step {info.steps_done}" if info.steps_done else "")
            self._print(f"going on after {place}; best validation so far {self._measure.shown(self._best)}")
        # Not `is_terminal`: FORCE_COLOR makes that true for a file, which a bar would fill with its steps.
        if sys.stderr.isatty() and not self._console.is_dumb_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("steps"),
                _TimeLeft(),
                TextColumn("{task.fields[best]}"),
                console=self._console,
                transient=True,
            )
            total = info.steps_per_round * info.total_rounds
            done = info.steps_per_round * info.rounds_done + info.steps_done
            self._task = self._progress.add_task("training", total=total, completed=done, best="")
            self._progress.start()

    def step(self) -> None:
        if self._progress is not None:
            self._progress.update(self._task, advance=1, description="training")

    def doing(self, what: str, done: float | None = None) -> None:
        said = what if done is None else f"{what} {done:.0%}"
        if self._progress is not None:
            self._progress.update(self._task, description=said)
        elif (waited := time.monotonic() - self._last_line) >= _QUIET_SECONDS:
            self._print(f"  {said}, {waited:.0f} s after the line above")

    def round(self, row: Mapping[str, Any], seconds: float) -> None:
        score = -math.inf if row["validation_score"] is None else row["validation_score"]
        mark = " *" if score > self._best else ""
        self._best = max(self._best, score)
        loss = "" if row["train_loss"] is None else f"{self._loss} {row['train_loss']:.4f}  "
        self._print(
            f"round {row['round']:>{len(str(self._total_rounds))}}/{self._total_rounds}  {loss}"
            f"validation {self._measure.shown(score)}  {seconds:.1f} s{mark}"
        )
        if self._progress is not None:
            self._progress.update(
                self._task,
                description="training",
                completed=row["round"] * self._steps_per_round,
                best=f"best validation {self._measure.shown(self._best)}",
            )

    def end(self, result: Mapping[str, Any]) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _print(self, text: str) -> None:
        # Not as markup: a path or a plugin's name may hold square brackets.
        self._console.print(text, markup=False)
        self._last_line = time.monotonic()


@genophen.hookimpl
def register_reporters(register):  # type: ignore[no-untyped-def]
    for cls in (ConsoleReporter, TensorBoardReporter, MLflowReporter):
        register(cls)

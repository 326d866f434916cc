"""How far the trials of a sweep are, read from what they write: whoever runs them, in whatever process."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from genophen.errors import DamagedError, duration
from genophen.storage.reading import read_rows
from genophen.storage.records import MetricsRow, TimingsRow
from genophen.storage.rundir import RunDirectory
from genophen.sweep.sweep import Trial


@dataclass(frozen=True)
class Running:
    """A trial that has begun in this sitting and is not over."""

    name: str
    #: Rounds that are validated, of how many.
    round: int
    rounds: int
    #: The best validation score so far, as its measure writes it; empty before there is one.
    validation: str
    #: None before a round of training is done.
    seconds_left: float | None


@dataclass(frozen=True)
class Standing:
    """How far a sitting is."""

    done: int
    waiting: int
    running: Sequence[Running]
    #: Until the last trial is over, as those before went; None before that can be told.
    seconds_left: float | None

    @property
    def text(self) -> str:
        """In one line."""
        parts = [f"{self.done} done", f"{len(self.running)} running", f"{self.waiting} waiting"]
        return ", ".join([*parts, *([f"{duration(self.seconds_left)} left"] if self.seconds_left else [])])


class Watch:
    """Looks at the trials of a sitting whenever it is asked. It takes no lock, which a trial might want."""

    def __init__(self, trials: Sequence[Trial], jobs: int) -> None:
        self._waiting = [trial for trial in trials if trial.result() is None]
        self._jobs = max(1, jobs)
        self._began = time.time()
        self._done = len(trials) - len(self._waiting)
        self._seconds: list[float] = []

    def look(self) -> Standing:
        """How far the trials are now."""
        running = []
        for trial in [*self._waiting]:
            if not self._has_begun(trial):
                continue
            if trial.result() is not None or trial.failure():
                self._waiting.remove(trial)
                self._done += 1
                self._note_seconds(trial)
                continue
            running.append(_running(trial))
        waiting = len(self._waiting) - len(running)
        return Standing(self._done, waiting, running, self._left(running, waiting))

    def _has_begun(self, trial: Trial) -> bool:
        """Whether the trial has written anything in this sitting: others may have been interrupted before."""
        for name in ("metrics.jsonl", "config.toml", "failure.json", "result.json"):
            try:
                if os.lstat(trial.directory / name).st_mtime >= self._began - 1:
                    return True
            except OSError:
                continue
        return False

    def _note_seconds(self, trial: Trial) -> None:
        result = trial.result()
        if result is not None:
            self._seconds.append(float(result["wall_seconds"]))

    def _left(self, running: Sequence[Running], waiting: int) -> float | None:
        lefts = [each.seconds_left for each in running]
        known = [left for left in lefts if left is not None]
        if len(known) < len(lefts) or (waiting and not self._seconds):
            return None
        each = sum(self._seconds) / len(self._seconds) if self._seconds else 0.0
        return (sum(known) + waiting * each) / min(self._jobs, max(1, len(running) + waiting))


def _running(trial: Trial) -> Running:
    files, rounds = RunDirectory(trial.directory), trial.config.training.rounds
    try:
        rows = read_rows(files.metrics, MetricsRow, growing=True)
        timings = read_rows(files.timings, TimingsRow, growing=True)
    except (DamagedError, OSError):  # there is none yet; or whoever reads the whole run will say so
        rows, timings = [], []
    scores = [row.validation_score for row in rows if row.validation_score is not None]
    trained = [row.seconds for row in timings if row.round]
    done = rows[-1].round if rows else 0
    left = (rounds - done) * sum(trained) / len(trained) if trained else None
    return Running(
        trial.directory.name, done, rounds, trial.measure.shown(max(scores)) if scores else "", left
    )

"""What runs and sweeps there are in a folder, and how far each is, read as far as one line of each tells."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genophen.contracts.measure import Measure
from genophen.errors import DamagedError, one_line
from genophen.storage.guard import GuardedPath
from genophen.storage.locking import is_locked
from genophen.storage.reading import read_environment, read_record, read_rows, unreadable
from genophen.storage.records import ENDED, MetricsRow, Result

#: Folders below the one that is looked through: runs/GROUP/RUN is found, and no deeper one.
_DEPTH = 2
_CONFIG, _SWEEP, _RESULT, _METRICS = "config.toml", "sweep.toml", "result.json", "metrics.jsonl"


@dataclass(frozen=True)
class Found:
    """A run or a sweep in one line."""

    directory: Path
    is_sweep: bool
    #: As `result.json` has it; or running, failed, unfinished, unreadable; of a sweep `3 of 15 done`.
    status: str
    #: Seconds since 1970 of the last change in it.
    changed: float
    #: What it trains: `mnist-cnn by hypernetwork, adam on digits`; empty before that is recorded.
    what: str = ""
    seed: int | None = None
    rounds: int | None = None
    measure: Measure | None = None
    test_score: float | None = None
    #: Of the best round so far.
    validation_score: float | None = None
    #: Why it cannot be read, or how it failed.
    note: str = ""

    @property
    def score(self) -> str:
        """The test score, or where there is none yet the best validation score."""
        if self.measure is None:
            return ""
        if self.test_score is not None:
            return f"test {self.measure.shown(self.test_score)}"
        if self.validation_score is None:
            return ""
        return f"validation {self.measure.shown(self.validation_score)}"


def find_runs(folder: Path) -> list[Found]:
    """The runs and sweeps in a folder, or the one that it is itself, the last changed first.

    A sweep is one; its trials are found in its folder `trials`.
    """
    found = [_look_at(directory) for directory in _directories(folder, _DEPTH)]
    return sorted(found, key=lambda each: (-each.changed, str(each.directory)))


def _directories(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / _SWEEP).is_file() or (folder / _CONFIG).is_file():
        yield folder
    elif depth >= 0 and folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                yield from _directories(path, depth - 1)


def _look_at(directory: Path) -> Found:
    folder = GuardedPath(directory)
    is_sweep = (directory / _SWEEP).is_file()
    changed = _changed(directory)
    try:
        return _sweep(directory, folder) if is_sweep else _run(directory, folder, changed)
    except (DamagedError, OSError) as error:
        reason = error.found if isinstance(error, DamagedError) else str(error)
        return Found(directory, is_sweep, "unreadable", changed, note=one_line(reason))


def _run(directory: Path, folder: GuardedPath, changed: float) -> Found:
    result = read_record(folder / _RESULT, Result) if (folder / _RESULT).is_file() else None
    if result is not None and not is_locked(folder):
        what = f"{result.architecture} by {result.genotype}, {result.optimizer} on {result.dataset}"
        return Found(
            directory,
            False,
            result.status,
            changed,
            what,
            result.seed,
            result.rounds,
            result.how(),
            result.test_score,
            result.validation_score,
            result.stop_reason or "",
        )
    rows = read_rows(folder / _METRICS, MetricsRow, growing=True) if (folder / _METRICS).is_file() else []
    scores = [row.validation_score for row in rows if row.validation_score is not None]
    what, measure = _of_environment(folder)
    failed = (folder / "failure.json").is_file()
    status = "running" if is_locked(folder) else "failed" if failed else "unfinished"
    return Found(
        directory,
        False,
        status,
        changed,
        what,
        rounds=rows[-1].round if rows else None,
        measure=measure,
        validation_score=max(scores, default=None),
    )


def _of_environment(folder: GuardedPath) -> tuple[str, Measure | None]:
    """What a run without a result trains, and its measure, as it recorded them at its start."""
    file = folder / "environment.json"
    if not file.is_file():
        return "", None
    environment = read_environment(file)
    names = {plugin["kind"]: plugin["name"] for plugin in environment["plugins"]}
    what = "{} by {}, {} on {}".format(
        *(names.get(kind, "?") for kind in ("architecture", "genotype", "optimizer")),
        environment["dataset"]["name"],
    )
    return what, Measure.of(environment["task"])


def _sweep(directory: Path, folder: GuardedPath) -> Found:
    trials = [_look_at(directory / "trials" / name) for name in (folder / "trials").names()]
    done = sum(trial.status in ENDED for trial in trials)
    status = f"{done} of {_planned(folder)} done"
    if is_locked(folder):
        status = f"running, {status}"
    changed = max([_changed(directory), *(trial.changed for trial in trials)])
    kinds = list(dict.fromkeys(trial.what for trial in trials if trial.what))
    more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
    return Found(directory, True, status, changed, f"sweep: {kinds[0]}{more}" if kinds else "sweep")


def _planned(folder: GuardedPath) -> int:
    """How many trials the file of a sweep has, as `genophen sweep` saved it: each row with its seeds."""
    try:
        rows = tomllib.loads((folder / _SWEEP).read_bytes().decode())["rows"]
        return sum(len(row["seeds"]) for row in rows.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(folder / _SWEEP, one_line(f"{type(error).__name__}: {error}")) from None


def _changed(directory: Path) -> float:
    """When what a run or a sweep records was last written."""
    times = [0.0]
    for name in (_CONFIG, _SWEEP, _METRICS, _RESULT):
        try:
            times.append(os.lstat(directory / name).st_mtime)
        except OSError:
            continue
    return max(times)

"""The runs of a report: each with its status, what it recorded, and the group that it belongs to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genophen.compare.finished import FinishedRun, read_run, why_without_result
from genophen.compare.grouping import GenotypeTitle, holds_sweep, sorted_into_groups
from genophen.config.config import DEFAULT_NAMES, PluginLookup
from genophen.contracts.measure import ACCURACY, Measure
from genophen.errors import ConfigError, DamagedError, GenophenError, one_line
from genophen.storage.guard import GuardedPath
from genophen.storage.locking import is_locked
from genophen.storage.reading import read_record, read_rows
from genophen.storage.records import Environment, MetricsRow, Result
from genophen.storage.rundir import RunDirectory, trial_directory
from genophen.sweep.file import Published, Row, read_sweep

#: With these a run counts: it came to its end and its test images were looked at.
RANKED = ("completed", "stopped-early")


@dataclass(frozen=True)
class ReportRun:
    """One run as its directory tells. `status` is that of `result.json`, or running, failed, unfinished,
    or not run; `note` says more where there is more to say."""

    directory: Path
    seed: int | None
    status: str
    note: str = ""
    #: All that its result depends on, by dotted key, less the seed.
    settings: dict[str, Any] = field(default_factory=dict)
    genotype: GenotypeTitle | None = None
    config: str = ""
    result: Result | None = None
    environment: Environment | None = None
    rows: Sequence[MetricsRow] = ()
    #: The sweep and the row that it belongs to; a run that was given by itself has none.
    sweep: Path | None = None
    row: Row | None = None
    #: Why it cannot be read, where its status is `unreadable`.
    error: GenophenError | None = None

    @property
    def ranked(self) -> bool:
        return self.status in RANKED

    @property
    def task(self) -> str:
        """The task's name as its result has it; the usual one where there is none."""
        return DEFAULT_NAMES["task"] if self.result is None else self.result.task

    @property
    def measure(self) -> Measure | None:
        """What its scores are called; None where nothing is recorded."""
        if self.result is not None:
            return self.result.how()
        return None if self.environment is None else self.environment.task.how()

    @property
    def validation_score(self) -> float:
        """Of the best round; below any other where no round is recorded."""
        return max((s for row in self.rows if (s := row.validation_score) is not None), default=-math.inf)


@dataclass(frozen=True)
class ReportGroup:
    """The runs of one row of a sweep, or of one setting under several seeds."""

    name: str
    runs: tuple[ReportRun, ...]

    @property
    def ranked(self) -> list[ReportRun]:
        return [run for run in self.runs if run.ranked]

    @property
    def test_scores(self) -> list[float]:
        found = [run.result.test_score for run in self.ranked if run.result is not None]
        return [score for score in found if score is not None]

    @property
    def test_score(self) -> float | None:
        """Mean over the seeds that count; None where none does."""
        return statistics.fmean(self.test_scores) if self.test_scores else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return statistics.stdev(self.test_scores) if len(self.test_scores) > 1 else None

    @property
    def seconds(self) -> float:
        """Mean over the seeds that count."""
        return statistics.fmean(run.result.wall_seconds for run in self.ranked if run.result is not None)

    @property
    def result(self) -> Result | None:
        """That of the first run that counts, for what all of them have in common."""
        return next((run.result for run in self.ranked), None)

    @property
    def is_direct(self) -> bool:
        """Whether each of its weights is a parameter of its own."""
        return any(run.genotype.is_direct for run in self.runs if run.genotype is not None)

    @property
    def published(self) -> Published:
        row = self.runs[0].row
        return Published() if row is None else row.published


@dataclass(frozen=True)
class Source:
    """The runs that were measured on one thing, whose scores can be set beside each other."""

    #: The data set's name, or the task's where it uses none; with some of its digest where two share a name.
    name: str
    task: str
    #: What the scores are called.
    measure: Measure
    groups: list[ReportGroup]

    @property
    def runs(self) -> list[ReportRun]:
        return [run for group in self.groups for run in group.runs]

    @property
    def best(self) -> ReportRun | None:
        """The run that did best on the validation images, of those that count."""
        ranked = [run for run in self.runs if run.ranked]
        return max(ranked, key=lambda run: run.validation_score, default=None)


@dataclass(frozen=True)
class Collection:
    """What a report is about: runs by what they were measured on, and folders of which nothing can be shown,
    with the reason."""

    title: str
    sources: list[Source]
    damaged: list[tuple[Path, str]]
    #: Whether a process trains in one of the folders now.
    running: bool

    @property
    def groups(self) -> list[ReportGroup]:
        return [group for source in self.sources for group in source.groups]

    @property
    def runs(self) -> list[ReportRun]:
        return [run for source in self.sources for run in source.runs]


def read_collection(directories: Sequence[Path], plugins: PluginLookup) -> Collection:
    """The runs in the folders of runs and sweeps, each run once, in the order given.

    A folder that cannot be used is listed with the reason, and the others are read all the same.

    Raises:
        GenophenError: where no run is left; it is the first folder's.
    """
    runs: dict[Path, ReportRun] = {}
    damaged: dict[Path, str] = {}
    titles: list[str] = []
    errors: list[GenophenError] = []
    for directory in directories:
        try:
            title, found = _read_folder(directory, plugins)
        except GenophenError as error:
            damaged[directory] = reason_of(error)
            errors.append(error)
            continue
        titles.append(title)
        errors += [run.error for run in found if run.error is not None]
        damaged |= {run.directory: run.note for run in found if run.status == "unreadable"}
        for run in found:
            if run.status != "unreadable":
                runs.setdefault(run.directory.resolve(), run)
    if not runs:
        raise errors[0] if len(errors) == 1 else _nothing(damaged, errors)
    title = titles[0] if len(titles) == 1 else f"{len(runs)} runs"
    running = any(is_locked(GuardedPath(directory)) for directory in directories)
    running = running or any(run.status == "running" for run in runs.values())
    return Collection(title, _by_source([*runs.values()]), list(damaged.items()), running)


#: What a run is measured on: task, data set, and the digest of both together; empty where it is not known.
_Place = tuple[str, str, str]


def _by_source(runs: Sequence[ReportRun]) -> list[Source]:
    """The runs by what they were measured on; those that have not begun are with others of their data set."""
    found: dict[_Place, list[ReportRun]] = {}
    for run in sorted(runs, key=lambda run: run.environment is None):  # stable: those that know come first
        task, dataset, digest = _measured_on(run)
        alike = [place for place in found if place[:2] == (task, dataset) or not (dataset or digest)]
        place = alike[0] if not digest and alike else (task, dataset, digest)
        found.setdefault(place, []).append(run)
    order = {id(run): index for index, run in enumerate(runs)}
    sources = []
    for (task, dataset, digest), each in found.items():
        each.sort(key=lambda run: order[id(run)])
        shared = [place for place in found if place[1] == dataset]
        name = f"{dataset or task} ({digest[:8]})" if len(shared) > 1 else dataset or task
        measure = next((run.measure for run in each if run.measure is not None), ACCURACY)
        groups = [ReportGroup(name, tuple(members)) for name, members in sorted_into_groups(each).items()]
        sources.append(Source(name, task, measure, groups))
    return sorted(sources, key=lambda source: order[id(source.runs[0])])


def _measured_on(run: ReportRun) -> _Place:
    if run.environment is not None:
        return run.environment.task.name, run.environment.dataset.name, run.environment.dataset.sha256
    tables = {} if run.row is None else run.row.tables
    named = {kind: tables.get(kind, {}).get("name", "") for kind in ("task", "dataset")}
    task = str(run.settings.get("task.name") or named["task"] or DEFAULT_NAMES["task"])
    return task, str(run.settings.get("dataset.name") or named["dataset"]), ""


def _nothing(damaged: Mapping[Path, str], errors: Sequence[GenophenError]) -> GenophenError:
    folder, reason = next(iter(damaged.items()))
    more = f"; and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    attempted, found = "cannot write a report: no run can be read", f"{folder}: {reason}{more}"
    if errors and not any(isinstance(error, DamagedError) for error in errors):
        return ConfigError(attempted, found=found, next_step="mend what is named, or give other runs")
    next_step = "restore the files from a copy, or give the folders of other runs"
    return DamagedError(attempted, found=found, next_step=next_step)


def _read_folder(directory: Path, plugins: PluginLookup) -> tuple[str, list[ReportRun]]:
    """A title, and the runs of a run directory or of a sweep's folder."""
    name = directory.resolve().name
    if not holds_sweep(directory, "report on"):
        return name, [_tried(directory, None, plugins)]
    guarded = GuardedPath(directory)
    try:
        sweep = read_sweep(guarded / "sweep.toml")
    except GenophenError as error:
        # The trials are run directories like any others, and can be shown without their rows.
        unreadable = ReportRun(directory / "sweep.toml", None, "unreadable", reason_of(error))
        trials = [_trial(directory, trial, None, plugins) for trial in (guarded / "trials").names()]
        return name, [unreadable, *(trial for trial in trials if trial.status != "not run")]
    return sweep.title, [
        replace(_trial(directory, row.trial_name(seed), seed, plugins), sweep=directory, row=row)
        for row in sweep.rows
        for seed in row.seeds
    ]


def _trial(sweep: Path, name: str, seed: int | None, plugins: PluginLookup) -> ReportRun:
    """A run of a sweep, which may not have begun."""
    try:
        folder = trial_directory(sweep, name)
        if RunDirectory(folder).config.is_file():
            return _tried(folder, seed, plugins)
    except DamagedError as error:
        return ReportRun(sweep / "trials" / name, seed, "unreadable", reason_of(error))
    status, _, note = why_without_result(folder).partition(": ")
    return ReportRun(folder, seed, status, note)


def _tried(directory: Path, seed: int | None, plugins: PluginLookup) -> ReportRun:
    """A run, or in its place one that cannot be read, with the reason."""
    try:
        return _read(directory, plugins)
    except GenophenError as error:
        return ReportRun(directory, seed, "unreadable", reason_of(error), error=error)
    except (OSError, UnicodeDecodeError) as error:
        return ReportRun(directory, seed, "unreadable", one_line(str(error)))


def _read(directory: Path, plugins: PluginLookup) -> ReportRun:
    """A run with all that it recorded so far.

    Raises:
        GenophenError: for records that are not what genophen writes.
    """
    files = RunDirectory(directory)
    found = read_run(directory, plugins)
    result = read_record(files.result, Result) if files.result.is_file() else None
    status, _, note = ("", "", "") if isinstance(found, FinishedRun) else found.reason.partition(": ")
    if is_locked(files.folder):
        status, result = "running", None
    elif result is not None:
        status, note = result.status, result.stop_reason or ""
    elif status == "unfinished":
        note = "it was killed; genophen resume goes on with it"
    return ReportRun(
        directory,
        found.seed,
        status,
        note,
        found.settings or {},
        found.genotype,
        files.config.read_bytes().decode(),
        result,
        read_record(files.environment, Environment) if files.environment.is_file() else None,
        read_rows(files.metrics, MetricsRow, growing=True) if files.metrics.is_file() else (),
    )


def reason_of(error: GenophenError) -> str:
    """An error in one line."""
    problems = [str(problem) for problem in getattr(error, "problems", ())]
    return one_line("; ".join(part for part in (error.attempted, error.found, *problems[:3]) if part))

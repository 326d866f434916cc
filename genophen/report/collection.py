"""The runs of a report: each with its status, what it recorded, and the group that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genophen.compare.finished import FinishedRun, read_run, why_without_result
from genophen.compare.grouping import holds_sweep
from genophen.config.config import PluginLookup
from genophen.errors import ConfigError, DamagedError, GenophenError, one_line
from genophen.report.reported import ReportGroup, ReportRun, Source, by_source
from genophen.storage.guard import GuardedPath
from genophen.storage.locking import is_locked
from genophen.storage.reading import read_record, read_rows
from genophen.storage.records import Environment, MetricsRow, Result
from genophen.storage.rundir import RunDirectory, trial_directory
from genophen.sweep.file import read_sweep


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
    return Collection(title, by_source([*runs.values()]), list(damaged.items()), running)


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

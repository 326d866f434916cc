"""What a comparison compares: groups of finished runs, and the runs that it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genophen.compare.finished import FinishedRun, LeftOut, read_run, why_without_result
from genophen.compare.grouping import holds_sweep, sorted_into_groups
from genophen.config.config import PluginLookup
from genophen.contracts.measure import Measure
from genophen.errors import ConfigError
from genophen.storage.guard import GuardedPath
from genophen.storage.rundir import RunDirectory, trial_directory
from genophen.sweep.file import read_sweep


@dataclass(frozen=True)
class Group:
    """The runs of one setting, a seed each, in order of their seeds."""

    name: str
    runs: tuple[FinishedRun, ...]
    left_out: tuple[LeftOut, ...]
    settings: Mapping[str, Any]
    #: Settings of other runs of the group that are not those of the first.
    mixed: tuple[str, ...] = ()
    #: The name of the group that this one is a baseline of, if it is one.
    baseline_of: str = ""

    @property
    def by_seed(self) -> dict[int, FinishedRun]:
        return {run.seed: run for run in self.runs}


def read_groups(directories: Sequence[Path], plugins: PluginLookup) -> list[Group]:
    """The groups in the folders of runs and sweeps, each run once, in the order given.

    Raises:
        ConfigError: for a folder that is neither, and where nothing is left to compare.
        DamagedError: for a record that is not what genophen writes.
    """
    runs: dict[Path, FinishedRun | LeftOut] = {}
    for directory in directories:
        for run in _runs_in(directory, plugins):
            runs.setdefault(run.directory.resolve(), run)
    found = sorted_into_groups([*runs.values()])
    rows = {(each[0].sweep, each[0].row.name): name for name, each in found.items() if each[0].row}
    groups = [_group(name, each, rows) for name, each in found.items()]
    _check_comparable(groups)
    return groups


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The settings in which two groups differ; of two plugins that differ by name, the name alone."""
    keys = [key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)]
    swapped = {key.partition(".")[0] for key in keys if key.endswith(".name")}
    return [
        key
        for key in keys
        if key.endswith(".name") or key.partition(".")[0] not in swapped or key.count(".") == 1
    ]


def _runs_in(directory: Path, plugins: PluginLookup) -> Iterator[FinishedRun | LeftOut]:
    if not holds_sweep(directory, "compare"):
        yield read_run(directory, plugins)
        return
    for row in read_sweep(GuardedPath(directory) / "sweep.toml").rows:
        for seed in row.seeds:
            folder = trial_directory(directory, row.trial_name(seed))
            files = RunDirectory(folder)
            if files.config.is_file() and files.result.is_file():
                run = read_run(folder, plugins)
            else:
                run = LeftOut(folder, seed, why_without_result(folder))
            yield replace(run, sweep=directory, row=row)


def _group(
    name: str, found: Iterable[FinishedRun | LeftOut], rows: Mapping[tuple[Path | None, str], str]
) -> Group:
    """One group; a seed that comes twice counts once. `rows`: the name of each sweep's row's group."""
    runs: dict[int, FinishedRun] = {}
    left_out: list[LeftOut] = []
    mixed: set[str] = set()
    baseline_of = ""
    for run in found:
        if isinstance(run, LeftOut):
            left_out.append(run)
        elif run.seed in runs:
            reason = f"the same settings and seed as {runs[run.seed].directory}"
            left_out.append(LeftOut(run.directory, run.seed, reason, run.settings, run.genotype))
        else:
            runs[run.seed] = run
            mixed |= set(differing(next(iter(runs.values())).settings, run.settings))
        if run.row is not None:
            baseline_of = rows.get((run.sweep, run.row.baseline_of), run.row.baseline_of)
    every: list[FinishedRun | LeftOut] = [*runs.values(), *left_out]
    known = [run.settings for run in every if run.settings is not None]
    ordered = tuple(runs[seed] for seed in sorted(runs))
    settings = known[0] if known else {}
    return Group(name, ordered, tuple(left_out), settings, tuple(sorted(mixed)), baseline_of)


def measure_of(groups: Sequence[Group]) -> Measure:
    """What the scores of groups that can be compared are called."""
    return next(run.result.how() for group in groups for run in group.runs)


def _check_comparable(groups: Sequence[Group]) -> None:
    attempted = "cannot compare these runs"
    if not any(group.runs for group in groups):
        reasons = [f"{run.directory}: {run.reason}" for group in groups for run in group.left_out]
        more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise ConfigError(
            attempted,
            found=f"none of them is finished ({'; '.join(reasons[:3])}{more})",
            allowed="runs that are completed or stopped early",
            next_step="finish them first",
        )
    measures = sorted({run.result.how().title for group in groups for run in group.runs})
    if len(measures) > 1:
        raise ConfigError(
            attempted,
            found=f"their scores are of several measures: {', '.join(measures)}",
            allowed="runs of one measure",
            next_step="compare those of each task by themselves",
        )
    if len(groups) < 2:
        seeds = ", ".join(str(run.seed) for run in groups[0].runs)
        raise ConfigError(
            attempted,
            found=f"one group alone: {groups[0].name}, seeds {seeds}",
            allowed="two groups or more, whose settings differ in more than the seed",
            next_step="add the directories of other runs, or of a sweep with other rows",
        )

"""Groups: the runs of one setting under several seeds, with a name that tells them apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genophen.compare.records import LeftOut, Run, read_run, why_without_result
from genophen.config.config import PluginLookup
from genophen.contracts.measure import Measure
from genophen.errors import ConfigError
from genophen.storage.guard import GuardedPath
from genophen.storage.rundir import RunDirectory, trial_directory
from genophen.sweep.file import read_sweep

#: Sections whose settings a group's name tells first, in this order.
_NAMED = ("task", "dataset", "architecture", "genotype", "optimizer")


@dataclass(frozen=True)
class Group:
    """The runs of one setting, a seed each, in order of their seeds."""

    name: str
    runs: tuple[Run, ...]
    left_out: tuple[LeftOut, ...]
    settings: Mapping[str, Any]
    #: Settings of other runs of the group that are not those of the first.
    mixed: tuple[str, ...] = ()
    #: The name of the group that this one is a baseline of, if it is one.
    baseline_of: str = ""

    @property
    def by_seed(self) -> dict[int, Run]:
        return {run.seed: run for run in self.runs}


@dataclass(frozen=True)
class _Member:
    """A run with the sweep and the row that it belongs to, if it does."""

    run: Run | LeftOut
    sweep: Path | None = None
    row: str = ""
    baseline_of: str = ""


def read_groups(directories: Sequence[Path], plugins: PluginLookup) -> list[Group]:
    """The groups in the folders of runs and sweeps, each run once, in the order given.

    Raises:
        ConfigError: for a folder that is neither, and where nothing is left to compare.
        DamagedError: for a record that is not what genophen writes.
    """
    members: dict[Path, _Member] = {}
    for directory in directories:
        for member in _members(directory, plugins):
            members.setdefault(member.run.directory.resolve(), member)
    sorted_in: dict[object, list[_Member]] = {}
    for member in members.values():
        sorted_in.setdefault(_key(member), []).append(member)
    groups = _named([(_common(found), found[0]) for found in sorted_in.values()])
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


def _members(directory: Path, plugins: PluginLookup) -> Iterator[_Member]:
    if (GuardedPath(directory) / "sweep.toml").is_file():
        yield from _trials(directory, plugins)
    elif RunDirectory(directory).config.is_file():
        yield _Member(read_run(directory, plugins))
    else:
        raise ConfigError(
            f"cannot compare {directory}",
            found="neither config.toml nor sweep.toml in it" if directory.is_dir() else "no such folder",
            allowed="run directories, and folders that `genophen sweep --out` made",
            next_step="give the folder that `genophen run` or `genophen sweep` wrote to",
        )


def _trials(directory: Path, plugins: PluginLookup) -> Iterator[_Member]:
    for row in read_sweep(GuardedPath(directory) / "sweep.toml").rows:
        for seed in row.seeds:
            folder = trial_directory(directory, row.trial_name(seed))
            files = RunDirectory(folder)
            if files.config.is_file() and files.result.is_file():
                run: Run | LeftOut = read_run(folder, plugins)
            else:
                run = LeftOut(folder, seed, None, why_without_result(folder))
            yield _Member(run, directory, row.name, row.baseline_of)


def _key(member: _Member) -> object:
    """Runs with equal keys are one group: a sweep's row, or equal settings."""
    if member.sweep is not None:
        return member.sweep.resolve(), member.row
    return repr(sorted((member.run.settings or {}).items()))


def _common(members: Iterable[_Member]) -> Group:
    """One group, unnamed; a seed that comes twice counts once."""
    runs: dict[int, Run] = {}
    left_out: list[LeftOut] = []
    mixed: set[str] = set()
    for member in members:
        run = member.run
        if isinstance(run, LeftOut):
            left_out.append(run)
        elif run.seed in runs:
            reason = f"the same settings and seed as {runs[run.seed].directory}"
            left_out.append(LeftOut(run.directory, run.seed, run.settings, reason))
        else:
            runs[run.seed] = run
            mixed |= set(differing(next(iter(runs.values())).settings, run.settings))
    every: list[Run | LeftOut] = [*runs.values(), *left_out]
    known = [run.settings for run in every if run.settings is not None]
    ordered = tuple(runs[seed] for seed in sorted(runs))
    return Group("", ordered, tuple(left_out), known[0] if known else {}, tuple(sorted(mixed)))


def _named(found: Sequence[tuple[Group, _Member]]) -> list[Group]:
    settings = [group.settings for group, _ in found if group.settings]
    names = [
        (member.row if member.sweep is not None else group_name(group.settings, settings)) or "runs"
        for group, member in found
    ]

    def full(name: str, member: _Member) -> str:
        return _printable(f"{name} ({_place(member)})" if names.count(name) > 1 else name)

    return [
        replace(group, name=full(name, member), baseline_of=full(member.baseline_of, member))
        for (group, member), name in zip(found, names, strict=True)
    ]


def _place(member: _Member) -> Path:
    return member.sweep or member.run.directory


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else " " for character in name)


def group_name(own: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> str:
    """What sets a group's settings apart from the others': plugins by name, then single settings."""
    different = {
        key for key in own if len({repr(settings[key]) for settings in every if key in settings}) > 1
    }
    parts = []
    for section in _NAMED:
        inside = {key for key in different if key.startswith(f"{section}.")}
        if section == "genotype" and inside:
            parts.append(_model(own))
            sizes = {f"genotype.hypernetwork.{size}" for size in ("embedding_dim", "projection_dim")}
            different -= {"genotype.name", *sizes}
        elif f"{section}.name" in inside:
            parts.append(str(own[f"{section}.name"]))
            different.discard(f"{section}.name")
    parts += [f"{key.rpartition('.')[2]}={own[key]}" for key in sorted(different)]
    return ", ".join(parts) or f"{_model(own)}, {own['optimizer.name']}"


def _model(settings: Mapping[str, Any]) -> str:
    """The genotype as the published tables call it."""
    name = str(settings["genotype.name"])
    embedding_dim = settings.get("genotype.hypernetwork.embedding_dim")
    if name == "hypernetwork" and embedding_dim is not None:
        return f"Hyper{embedding_dim}_{settings.get('genotype.hypernetwork.projection_dim', embedding_dim)}"
    return "ConvModel" if name == "direct" else name


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

"""Runs in groups, a row of a sweep each or one setting under several seeds, and what groups are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from genophen.config.config import Config, PluginLookup
from genophen.errors import ConfigError, one_line
from genophen.storage.guard import GuardedPath
from genophen.sweep.file import Row

#: Sections whose settings a group's name tells first, in this order.
_NAMED = ("task", "dataset", "architecture", "genotype", "optimizer")

#: A group's name tells so many of the things that set it apart, or more where it takes more.
_PARTS = 3


@dataclass(frozen=True)
class GenotypeTitle:
    """What a run's genotype is called in tables and figures, as the genotype itself says."""

    text: str
    #: The settings, by dotted key, that the text tells.
    tells: frozenset[str] = frozenset()
    is_direct: bool = False


class Groupable(Protocol):
    """A run, with what groups are made by."""

    @property
    def directory(self) -> Path: ...
    @property
    def settings(self) -> Mapping[str, Any] | None: ...
    @property
    def genotype(self) -> GenotypeTitle | None: ...
    @property
    def sweep(self) -> Path | None: ...
    @property
    def row(self) -> Row | None: ...


RunT = TypeVar("RunT", bound=Groupable)


def holds_sweep(directory: Path, attempted: str) -> bool:
    """Whether a folder is that of a sweep, and not a run directory.

    Raises:
        ConfigError: for a folder that is neither.
    """
    folder = GuardedPath(directory)
    if (folder / "sweep.toml").is_file():
        return True
    if (folder / "config.toml").is_file():
        return False
    raise ConfigError(
        f"cannot {attempted} {directory}",
        found="neither config.toml nor sweep.toml in it" if directory.is_dir() else "no such folder",
        allowed="run directories, and folders that `genophen sweep --out` made",
        next_step="give the folder that `genophen run` or `genophen sweep` wrote to",
    )


def sorted_into_groups(runs: Sequence[RunT]) -> dict[str, list[RunT]]:
    """The runs of each group by its name, in the order of the groups' first runs."""
    groups: dict[object, list[RunT]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    every = [found[0].settings for found in groups.values() if found[0].settings]
    apart = [_parts_of_name(found[0], every) for found in groups.values()]
    names = [_shortest(parts, apart) for parts in apart]
    return {
        f"{name} ({_place(found[0])})" if names.count(name) > 1 else name: found
        for name, found in zip(names, groups.values(), strict=True)
    }


def genotype_title(config: Config, plugins: PluginLookup) -> GenotypeTitle:
    """What the genotype of a config says of itself."""
    name = config.genotype.name
    cls = plugins.get("genotype", name).cls
    with plugins.blame("genotype", name):
        text = str(cls.title(config.genotype.options))
    tells = {"genotype.name", *(f"genotype.{name}.{setting}" for setting in cls.titled)}
    return GenotypeTitle(text, frozenset(tells), cls.is_direct)


def _key(run: Groupable) -> object:
    """Runs with equal keys are one group."""
    if run.sweep is not None and run.row is not None:
        return run.sweep.resolve(), run.row.name
    return repr(sorted((run.settings or {}).items()))


def _parts_of_name(run: Groupable, every: Sequence[Mapping[str, Any]]) -> list[str]:
    """What sets a group apart, the most telling first."""
    if run.row is not None:
        return [run.row.name]
    if run.settings and run.genotype:
        return _what_sets_apart(run.settings, run.genotype, every)
    return []


def _shortest(parts: Sequence[str], apart: Sequence[Sequence[str]]) -> str:
    """The first of what sets a group apart, and as much more as no other group shares."""
    count = _PARTS
    while count < len(parts) and sum(other[:count] == parts[:count] for other in apart) > 1:
        count += 1
    return one_line(", ".join(parts[:count])) or "runs"


def _place(run: Groupable) -> str:
    return one_line(str(run.sweep or run.directory))


def _what_sets_apart(
    own: Mapping[str, Any], genotype: GenotypeTitle, every: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What sets a group's settings apart from the others': plugins by name, then single settings."""
    different = {
        key for key in own if len({repr(settings[key]) for settings in every if key in settings}) > 1
    }
    parts = []
    for section in _NAMED:
        inside = {key for key in different if key.startswith(f"{section}.")}
        if section == "genotype" and inside:
            parts.append(genotype.text)
            different -= genotype.tells
        elif f"{section}.name" in inside:
            parts.append(str(own[f"{section}.name"]))
            different.discard(f"{section}.name")
    parts += [f"{key.rpartition('.')[2]}={own[key]}" for key in sorted(different)]
    return parts or [genotype.text, str(own["optimizer.name"])]

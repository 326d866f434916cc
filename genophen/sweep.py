"""Sweeps: many runs from one file, continued where they were interrupted.

A sweep file has a base config, rows that change it, and seeds:

    base = "../mnist.toml"              # or the tables themselves, under [config]
    seeds = [0, 1, 2]

    [rows.Hyper4_4]                     # a row: config tables laid over the base
    genotype.hypernetwork = { embedding_dim = 4, projection_dim = 4 }
    published = { test_accuracy = 0.9812, kernel_parameters = 4244 }

    [grid]                              # instead of rows, or within each: every combination
    optimizer.adam.learning_rate = [0.003, 0.004]
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import Field

from genophen.config import SECTIONS, Config, PluginLookup, resolve_config
from genophen.errors import ConfigError, Problem, listed, nearest
from genophen.executor import Executor, Outcome, Task
from genophen.options import Options, read_options
from genophen.plugins import load_plugins
from genophen.rundir import RunDirectory
from genophen.toml import assign, override, read_toml, write_toml
from genophen.training import run_config

#: Statuses of `result.json` with which a trial is over; others are run again.
FINISHED = ("completed", "stopped-early", "diverged")


class Published(Options):
    """What others measured for a row."""

    test_accuracy: float | None = Field(None, ge=0, le=1, description="a fraction")
    kernel_parameters: int | None = Field(None, ge=0, description="as printed there")
    erratum: str | None = Field(None, description="what is wrong with the printed numbers")


@dataclass(frozen=True)
class Row:
    """One line of the table: a config, and the seeds it is run with."""

    name: str
    tables: dict[str, Any]
    seeds: tuple[int, ...]
    published: Published

    def trial_name(self, seed: int) -> str:
        return f"{re.sub(r'[^A-Za-z0-9_.=-]+', '-', self.name)}-seed{seed}"


@dataclass(frozen=True)
class Sweep:
    """A sweep file, its base and its overrides applied."""

    name: str
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    row: Row
    seed: int
    config: Config
    directory: Path

    def result(self) -> dict[str, Any] | None:
        """The trial's `result.json` once it is over; None before."""
        try:
            result = json.loads((self.directory / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return result if isinstance(result, dict) and result.get("status") in FINISHED else None


def read_sweep(path: Path, assignments: Iterable[str] = ()) -> Sweep:
    """Read a sweep file; the assignments `a.b=VALUE` override every row.

    Raises:
        ConfigError: for a file that is no sweep, with every mistake in its structure.
    """
    tables = read_toml(path)
    problems = [
        Problem(key, "unknown key", "" if nearest(key, _KEYS) else listed(_KEYS), nearest(key, _KEYS))
        for key in tables
        if key not in _KEYS
    ]
    for key, kind in _KEYS.items():
        if key in tables and not isinstance(tables[key], kind):
            problems.append(Problem(key, f"found {tables[key]!r}", f"a {_KIND_NAMES[kind]}"))
    if not problems and not (tables.get("rows") or tables.get("grid")):
        problems.append(Problem("rows", "is missing", "[rows.NAME] tables, or a [grid]"))
    if problems:
        raise ConfigError(f"cannot use the sweep {path}", problems=problems)
    base = read_toml(path.parent / tables["base"]) if "base" in tables else {}
    base = merged(base, tables.get("config", {}))
    seeds = _seeds(tables.get("seeds", [0]), "seeds", path)
    rows = []
    for name, row in (tables.get("rows") or {"": {}}).items():
        for suffix, choice in _grid(tables.get("grid", {}), path):
            rows.append(
                _row(", ".join(part for part in (name, suffix) if part), row, choice, base, seeds, path)
            )
    for row_ in rows:
        override(row_.tables, assignments)
    return Sweep(str(tables.get("name", path.stem)), str(tables.get("title", path.stem)), tuple(rows))


_KEYS: dict[str, type] = {
    "name": str,
    "title": str,
    "base": str,
    "config": dict,
    "seeds": list,
    "rows": dict,
    "grid": dict,
}
_KIND_NAMES: dict[type, str] = {str: "text", dict: "table", list: "list"}


def merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of `top` laid over those of `base`, key by key; neither is changed."""
    result = {k: merged(v, {}) if isinstance(v, Mapping) else v for k, v in base.items()}
    for key, value in top.items():
        below = result.get(key)
        if isinstance(value, Mapping):
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def plan(
    sweep: Sweep, out: Path, plugins: PluginLookup, only: Sequence[str] = (), seeds: Sequence[int] = ()
) -> list[Trial]:
    """The trials of a sweep, row by row: all, or those of the rows and seeds named.

    Raises:
        ConfigError: for a row whose config cannot be used, with every mistake in it; and for a row in `only`
            that the sweep does not have.
    """
    names = [row.name for row in sweep.rows]
    for name in only:
        if name not in names:
            raise ConfigError(
                f"cannot run the row {name!r}",
                found="no row of that name",
                allowed=", ".join(names),
                next_step=nearest(name, names),
            )
    trials = []
    for row in sweep.rows:
        for seed in row.seeds:
            tables = merged(row.tables, {"training": {"seed": seed}})
            config = resolve_config(tables, plugins, f"of row {row.name!r}")
            if (not only or row.name in only) and (not seeds or seed in seeds):
                trials.append(Trial(row, seed, config, out / "trials" / row.trial_name(seed)))
    places = [trial.directory for trial in trials]
    if twice := {place.name for place in places if places.count(place) > 1}:
        raise ConfigError("cannot plan the sweep", found=f"two trials would share {', '.join(sorted(twice))}")
    return trials


def run_sweep(
    sweep: Sweep,
    trials: Sequence[Trial],
    out: Path,
    executor: Executor,
    plugin_files: Sequence[Path],
    on_outcome: Callable[[Trial, Outcome], None],
) -> bool:
    """Run those trials that are not over yet; False if the user interrupted them.

    Raises:
        ConfigError: where `out` holds a trial that was run with other settings, or another sweep is at work.
    """
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"cannot run a sweep in {out}", found="another sweep is at work there", next_step="wait for it"
        ) from None
    with lock:
        rows = {row.name: merged(row.tables, {}) | {"seeds": list(row.seeds)} for row in sweep.rows}
        saved = write_toml({"name": sweep.name, "title": sweep.title, "rows": rows})
        (out / "sweep.toml").write_text(saved, encoding="utf-8")
        todo = {trial.directory.name: trial for trial in _unfinished(trials, plugin_files)}
        files = [str(file) for file in plugin_files]
        tasks = [
            Task(name, run_trial, (trial.config.to_toml(), str(trial.directory), files))
            for name, trial in todo.items()
        ]
        for outcome in executor.run(tasks):
            on_outcome(todo[outcome.task.name], outcome)
            if outcome.value == "interrupted":
                return False
    return True


def run_trial(config_toml: str, directory: str, plugin_files: Sequence[str]) -> str:
    """Train one trial into its directory, in whatever process this is, and return its status."""
    plugins = load_plugins([Path(file) for file in plugin_files])
    config = resolve_config(tomllib.loads(config_toml), plugins, f"of {directory}")
    _, result = run_config(config, plugins, Path(directory).name, Path(directory))
    return str(result["status"])


def _unfinished(trials: Sequence[Trial], plugin_files: Sequence[Path]) -> Iterator[Trial]:
    """The trials still to be run, what is left of an interrupted one cleared away."""
    plugins = load_plugins(plugin_files)
    for trial in trials:
        if trial.result() is not None:
            _check_same_settings(trial, plugins)
            continue
        if trial.directory.exists():
            shutil.rmtree(trial.directory)
        yield trial


def _check_same_settings(trial: Trial, plugins: PluginLookup) -> None:
    run = RunDirectory.open(trial.directory)
    earlier = resolve_config(read_toml(run.config), plugins, str(run.config))
    before, now = _flat(_without_places(earlier)), _flat(_without_places(trial.config))
    different = [
        Problem(key, f"{before.get(key)!r} there, {now.get(key)!r} now")
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if different:
        raise ConfigError(
            f"cannot continue the sweep: {trial.directory} was run with other settings",
            problems=different,
            next_step="choose another --out, or delete that folder to run it again",
        )


def _without_places(config: Config) -> dict[str, Any]:
    """The settings that a result depends on: all but the places of files and the device."""
    tables = tomllib.loads(config.to_toml())
    del tables["dataset"]["data_dir"], tables["training"]["device"]
    for name in type(config.dataset.options).model_fields:
        if isinstance(getattr(config.dataset.options, name), Path):
            del tables["dataset"][config.dataset.name][name]
    return tables


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _row(
    name: str,
    row: object,
    choice: Mapping[str, Any],
    base: Mapping[str, Any],
    seeds: tuple[int, ...],
    path: Path,
) -> Row:
    if not isinstance(row, dict):
        raise ConfigError(f"cannot use the sweep {path}", found=f"rows.{name} = {row!r}", allowed="a table")
    published = row.get("published", {})
    own = {key: value for key, value in row.items() if key not in ("published", "seeds")}
    if unknown := [key for key in own if key not in SECTIONS]:
        known = [*SECTIONS, "published", "seeds"]
        raise ConfigError(
            f"cannot use the row {name!r} of {path}",
            problems=[Problem(key, "unknown key", listed(known), nearest(key, known)) for key in unknown],
        )
    tables = merged(base, own)
    for key, value in choice.items():
        assign(tables, key.split("."), value)
    return Row(
        name,
        tables,
        _seeds(row["seeds"], f"rows.{name}.seeds", path) if "seeds" in row else seeds,
        read_options(
            Published, published if isinstance(published, dict) else {"": 0}, f"rows.{name}.published"
        ),
    )


def _seeds(value: object, key: str, path: Path) -> tuple[int, ...]:
    valid = isinstance(value, list) and value and all(type(seed) is int and seed >= 0 for seed in value)
    if not valid or len(set(value)) != len(value):  # type: ignore[arg-type, call-overload]
        raise ConfigError(
            f"cannot use the sweep {path}",
            found=f"{key} = {value!r}",
            allowed="a list of different whole numbers from 0, such as [0, 1, 2]",
        )
    return tuple(value)  # type: ignore[arg-type]


def _grid(grid: Mapping[str, Any], path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every combination of a grid's values: a name for it, and the values by dotted key."""
    axes = _flat(grid)
    for key, values in axes.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(
                f"cannot use the sweep {path}",
                found=f"grid.{key} = {values!r}",
                allowed="a list of values, such as [0.003, 0.004]",
            )
    combinations = []
    for values in itertools.product(*axes.values()):
        choice = dict(zip(axes, values, strict=True))
        name = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in choice.items())
        combinations.append((name, choice))
    return combinations

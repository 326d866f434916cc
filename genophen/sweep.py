"""Sweeps: many runs from one sweep file, continued where they were interrupted."""

from __future__ import annotations

import shutil
import signal
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from genophen.config import Config, PluginLookup, resolve_config
from genophen.errors import ConfigError, Problem, listed, unknown_name
from genophen.executor import Executor, Outcome, Task
from genophen.plugins import load_plugins
from genophen.records import read_result
from genophen.rundir import RunDirectory
from genophen.sweep_file import Row, Sweep, flattened, merged
from genophen.toml import read_toml, write_toml
from genophen.training import run_config

#: Statuses of `result.json` with which a trial is over; others are run again.
FINISHED = ("completed", "stopped-early", "diverged")


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
            result = read_result(self.directory / "result.json")
        except (OSError, ValueError):
            return None
        return result if result["status"] in FINISHED else None

    def signal(self) -> int:
        """The number of the signal that interrupted the trial."""
        return int(read_result(self.directory / "result.json")["signal"])

    def settings(self) -> dict[str, Any]:
        """The settings that a result depends on, by dotted key."""
        return flattened(_without_places(self.config))


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
            raise ConfigError(f"cannot run the row {name!r}", **unknown_name("row", names, name))
    for seed in seeds:
        if all(seed not in row.seeds for row in sweep.rows):
            every = sorted({known for row in sweep.rows for known in row.seeds})
            raise ConfigError(
                f"cannot run the seed {seed}", found="no row has it", allowed=listed(map(str, every))
            )
    trials, problems = [], []
    for row in sweep.rows:
        try:
            for seed in row.seeds:
                tables = merged(row.tables, {"training": {"seed": seed}})
                config = resolve_config(tables, plugins, f"of row {row.name!r}")
                if (not only or row.name in only) and (not seeds or seed in seeds):
                    trials.append(Trial(row, seed, config, out / "trials" / row.trial_name(seed)))
        except ConfigError as error:
            problems += [replace(problem, key=f"{row.name}: {problem.key}") for problem in error.problems]
    if problems:
        raise ConfigError(f"cannot use the sweep {sweep.name}", problems=problems)
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
) -> int:
    """Run those trials that are not over yet; the number of the signal that interrupted them, or 0.

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
        rows = {
            row.name: {**row.tables, "seeds": list(row.seeds), "published": row.published.model_dump()}
            for row in sweep.rows
        }
        saved = write_toml({"name": sweep.name, "title": sweep.title, "rows": rows})
        (out / "sweep.toml").write_text(saved, encoding="utf-8")
        todo = {trial.directory.name: trial for trial in _unfinished(trials, plugin_files)}
        files = [str(file) for file in plugin_files]
        tasks = [
            Task(name, run_trial, (trial.config.to_toml(), str(trial.directory), files))
            for name, trial in todo.items()
        ]
        try:
            with closing(executor.run(tasks)) as outcomes:
                for outcome in outcomes:
                    on_outcome(todo[outcome.task.name], outcome)
                    if outcome.value == "interrupted":
                        return todo[outcome.task.name].signal()
        except KeyboardInterrupt:
            return signal.SIGINT
    return 0


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
    before, now = flattened(_without_places(earlier)), trial.settings()
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

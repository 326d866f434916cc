"""Sweeps: many runs from one sweep file, continued where they were interrupted."""

from __future__ import annotations

import signal
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genophen.config.config import Config, PluginLookup, resolve_config
from genophen.config.differences import differences
from genophen.config.recorded import config_of
from genophen.config.toml import write_toml
from genophen.contracts.executor import Executor, Job, Outcome
from genophen.contracts.measure import Measure
from genophen.contracts.task import Task
from genophen.errors import ConfigError, DamagedError, listed, unknown_name
from genophen.plugins.loading import load_plugins
from genophen.storage.files import canonical_json, writing
from genophen.storage.guard import GuardedPath
from genophen.storage.locking import lock
from genophen.storage.reading import read_json, read_result
from genophen.storage.rundir import FAILURE, RunDirectory, check_free, trial_directory
from genophen.sweep.file import Row, Sweep, merged
from genophen.training.resume import resume_run
from genophen.training.start import run_config

_ELSEWHERE = "make room, or the folder writable, or choose another --out"


@dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    row: Row
    seed: int
    config: Config
    directory: Path
    #: What its scores are called.
    measure: Measure

    def result(self) -> dict[str, Any] | None:
        """The trial's `result.json` once it is over; None before."""
        return RunDirectory(self.directory).finished()

    def failure(self) -> str:
        """Why the trial ended without a result the last time it was run; empty where it did not."""
        return "" if self.result() is not None else read_failure(self.directory)

    def signal(self) -> int:
        """The number of the signal that interrupted the trial."""
        return int(read_result(GuardedPath(self.directory) / "result.json")["signal"])

    def settings(self) -> dict[str, Any]:
        """The settings that a result depends on, by dotted key."""
        return self.config.settings()


def plan(sweep: Sweep, out: Path, plugins: PluginLookup) -> list[Trial]:
    """All trials of a sweep, row by row.

    Raises:
        ConfigError: for rows whose config cannot be used, with every mistake in them.
        DamagedError: where a link or a file stands in the place of a trial's folder.
    """
    trials, problems = [], []
    for row in sweep.rows:
        try:
            for seed in row.seeds:
                tables = merged(_for_seed(row.tables, seed), {"training": {"seed": seed}})
                config = resolve_config(tables, plugins, f"of row {row.name!r}")
                folder = trial_directory(out, row.trial_name(seed))
                trials.append(Trial(row, seed, config, folder, _measure(config, plugins)))
        except ConfigError as error:
            problems += [replace(problem, key=f"{row.name}: {problem.key}") for problem in error.problems]
    if problems:
        raise ConfigError(f"cannot use the sweep {sweep.name}", problems=problems)
    places = [trial.directory for trial in trials]
    if twice := {place.name for place in places if places.count(place) > 1}:
        raise ConfigError("cannot plan the sweep", found=f"two trials would share {', '.join(sorted(twice))}")
    return trials


def _measure(config: Config, plugins: PluginLookup) -> Measure:
    with plugins.blame("task", config.task.name):
        task: Task = plugins.get("task", config.task.name).cls(config.task.options)
        return task.measured()


def select(trials: Sequence[Trial], only: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[Trial]:
    """The trials of the rows and seeds named; all rows, all seeds, where none is named.

    Raises:
        ConfigError: for a row or a seed that no trial has.
    """
    names = list(dict.fromkeys(trial.row.name for trial in trials))
    for name in only:
        if name not in names:
            raise ConfigError(f"cannot run the row {name!r}", **unknown_name("row", names, name))
    every = {trial.seed for trial in trials}
    for seed in seeds:
        if seed not in every:
            raise ConfigError(
                f"cannot run the seed {seed}", found="no row has it", allowed=listed(map(str, sorted(every)))
            )
    return [
        trial
        for trial in trials
        if (not only or trial.row.name in only) and (not seeds or trial.seed in seeds)
    ]


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
        DamagedError: where the folder of a trial holds what genophen did not make.
    """
    folder = GuardedPath(out)
    with ExitStack() as stack:
        try:
            with writing(out, _ELSEWHERE):
                out.mkdir(parents=True, exist_ok=True)
                stack.enter_context(lock(folder))
        except BlockingIOError:
            raise ConfigError(
                f"cannot run a sweep in {out}",
                found="another sweep is at work there",
                next_step="wait for it",
            ) from None
        rows = {
            row.name: {
                **_unseeded(row.tables),
                "seeds": list(row.seeds),
                "published": row.published.model_dump(),
                "baseline_of": row.baseline_of,
            }
            for row in sweep.rows
        }
        saved = write_toml({"name": sweep.name, "title": sweep.title, "rows": rows})
        todo = {trial.directory.name: trial for trial in _unfinished(trials, plugin_files)}
        with writing(folder / "sweep.toml", _ELSEWHERE):
            (folder / "sweep.toml").write(saved.encode())
        files = [str(file) for file in plugin_files]
        queue = [
            Job(name, run_trial, (trial.config.to_toml(), str(trial.directory), files))
            for name, trial in todo.items()
        ]
        try:
            with closing(executor.run(queue)) as outcomes:
                for outcome in outcomes:
                    if outcome.error:
                        _record_failure(todo[outcome.job.name].directory, outcome.error)
                    on_outcome(todo[outcome.job.name], outcome)
                    if outcome.value == "interrupted":
                        return todo[outcome.job.name].signal()
        except KeyboardInterrupt:
            return signal.SIGINT
    return 0


def _for_seed(value: Any, seed: int) -> Any:
    """A config's tables with the seed in the place of every `{seed}` in their strings."""
    if isinstance(value, Mapping):
        return {key: _for_seed(item, seed) for key, item in value.items()}
    return value.replace("{seed}", str(seed)) if isinstance(value, str) else value


def _unseeded(tables: dict[str, Any]) -> dict[str, Any]:
    """A row's tables less the base config's seed, which a sweep file has under `seeds`."""
    copied = merged(tables, {})
    copied.get("training", {}).pop("seed", None)
    return copied


def read_failure(directory: Path) -> str:
    """The error that a trial's last attempt ended with, as recorded in its folder; empty where none is."""
    try:
        file = GuardedPath(directory) / FAILURE
        return str(read_json(file)["error"]) if file.is_file() else ""
    except (OSError, KeyError, TypeError, DamagedError):
        return f"{FAILURE} cannot be read"


def _record_failure(directory: Path, error: str) -> None:
    """Keep an error until the trial is run again, so that later tables list it."""
    with suppress(OSError, DamagedError):  # a full disk is not to end the other trials
        directory.mkdir(parents=True, exist_ok=True)
        (GuardedPath(directory) / FAILURE).write(canonical_json({"error": error}))


def run_trial(config_toml: str, directory: str, plugin_files: Sequence[str]) -> str:
    """Train one trial, from its last checkpoint if it has one, in whatever process this is; its status."""
    plugins = load_plugins([Path(file) for file in plugin_files])
    config = resolve_config(tomllib.loads(config_toml), plugins, f"of {directory}")
    run = RunDirectory(Path(directory))
    if run.config.is_file():
        result = resume_run(run, config, plugins)
    else:
        _, result = run_config(config, plugins, run.path.name, run.path)
    return str(result["status"])


def _unfinished(trials: Sequence[Trial], plugin_files: Sequence[Path]) -> Iterator[Trial]:
    """The trials still to be run or to be gone on with."""
    plugins = load_plugins(plugin_files)
    for trial in trials:
        if RunDirectory(trial.directory).config.is_file():
            _check_same_settings(trial, plugins)
        else:
            _check_nothing_else(trial.directory)
        if trial.result() is None:
            yield trial


def _check_nothing_else(directory: Path) -> None:
    """Raise a DamagedError where a trial without a config has a folder with something in it."""
    try:
        check_free(directory)
    except ConfigError as error:
        raise DamagedError(
            f"cannot run the trial in {directory}",
            found=error.found,
            allowed="no folder, or what genophen leaves there",
            next_step="move what is yours elsewhere, or choose another --out",
        ) from None


def _check_same_settings(trial: Trial, plugins: PluginLookup) -> None:
    run = RunDirectory.open(trial.directory)
    if different := differences(config_of(run, plugins).settings(), trial.config):
        raise ConfigError(
            f"cannot continue the sweep: {trial.directory} was run with other settings",
            problems=different,
            next_step="choose another --out, or delete that folder to run it again",
        )

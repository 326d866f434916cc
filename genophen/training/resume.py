"""Going on with a run from a checkpoint, as if it had never been interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from genophen.config.config import Config
from genophen.config.differences import differences
from genophen.config.settings import TrainingSettings
from genophen.config.toml import read_toml
from genophen.contracts.options import read_options
from genophen.contracts.reporter import Reporter
from genophen.errors import ConfigError, DamagedError, PluginError
from genophen.plugins.registry import Plugins
from genophen.storage.checkpoint import load_checkpoint
from genophen.storage.reading import UnreadableError, read_json
from genophen.storage.rundir import RunDirectory
from genophen.training.experiment import assemble
from genophen.training.loop import Loop
from genophen.training.preparing import Notify
from genophen.training.start import describe_environment, plugins_in_use, train, train_from_start


@dataclass(frozen=True)
class ResumeOptions:
    """What a resumption may be told."""

    #: The checkpoint to go on from; the last where empty.
    checkpoint: str = ""
    #: Go on although plugins, data or settings are not what they were.
    force: bool = False


def resume_run(
    run: RunDirectory,
    config: Config,
    plugins: Plugins,
    options: ResumeOptions = ResumeOptions(),
    reporters: Sequence[Reporter] = (),
    notify: Notify = lambda note: None,
) -> dict[str, Any]:
    """Go on with a run; `config` is its own, with more rounds if it is to be extended.

    A run that is over is left as it is, and its result returned. One that was killed before its first
    checkpoint starts again.

    Raises:
        ConfigError: where another process trains in the directory, where more rounds would change nothing,
            and where config.toml has been changed since.
        DamagedError: for a checkpoint that is not as it was saved, naming an older one that is; and for
            another data set.
        PluginError: where a plugin in use has another version now.
    """
    with run.locked():
        over = run.finished()
        extended = _extended(run, config, over)
        if over is not None and not extended and not options.checkpoint:
            notify(_what_to_do(run, over))
            return over
        names, new_config = run.checkpoints.names(), config.to_toml() if extended else None
        if not names and over is None and not options.checkpoint:
            notify(f"{run.path} has no checkpoint yet: starting again.")
            run.cut_back({run.metrics.name: 0, run.timings.name: 0})
            run.begin_again(new_config)
            return train_from_start(run, config, plugins, reporters, notify)
        name = _chosen(run, names, options.checkpoint)
        earlier = _environment(run, options.force)
        guard = _Guard(options.force, notify)
        guard.check_plugins(earlier, plugins_in_use(config, plugins))
        tensors, values = _load(run, name)
        guard.check_settings(values, config)
        experiment = assemble(config, plugins, notify)
        environment = describe_environment(experiment)
        guard.check_data(earlier, environment)
        loop = Loop(experiment, run, reporters)
        loop.state.restore(tensors, values, run.checkpoints.folder / name)
        notify(f"resuming from {name}{_other_machine(earlier, environment)}")
        _note_extension(loop, extended, notify)
        run.begin_again(new_config)
        run.write_json(run.environment, _with_earlier(environment, earlier))
        return train(loop, reporters)


class _Guard:
    """Checks that what is resumed is what was interrupted; with `force`, differences are told alone."""

    def __init__(self, force: bool, notify: Notify) -> None:
        self._force, self._notify = force, notify

    def check_plugins(self, earlier: Mapping[str, Any], now: Sequence[Mapping[str, Any]]) -> None:
        then = {plugin["kind"]: plugin for plugin in earlier.get("plugins", [])}
        pairs = [(then[plugin["kind"]], plugin) for plugin in now if plugin["kind"] in then]
        changed = [
            f"{after['kind']} {after['name']}: {_version(before)} then, {_version(after)} now"
            for before, after in pairs
            if _version(before) != _version(after)
        ]
        if changed:
            self._refuse(PluginError, "; ".join(changed), "the plugins that the run began with")

    def check_settings(self, values: Mapping[str, Any], config: Config) -> None:
        then = values.get("settings")
        if not isinstance(then, dict):
            return  # no state that genophen saved: restoring it will say so
        if changed := differences(then | {"training.rounds": config.training.rounds}, config):
            self._refuse(ConfigError, "; ".join(map(str, changed)), "the settings that the run began with")

    def check_data(self, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        then = earlier.get("dataset", {}).get("sha256")
        if then is not None and then != now["dataset"]["sha256"]:
            found = f"a data set with SHA-256 {now['dataset']['sha256']}"
            self._refuse(DamagedError, found, f"the data that the run began with, SHA-256 {then}")

    def _refuse(
        self, error: type[ConfigError | DamagedError | PluginError], found: str, allowed: str
    ) -> None:
        if not self._force:
            raise error(
                "cannot resume the run",
                found=found,
                allowed=allowed,
                next_step="put back what was there, or go on all the same with --force",
            )
        self._notify(f"going on all the same (--force): {found}")


def _what_to_do(run: RunDirectory, over: Mapping[str, Any]) -> str:
    done = f"The run in {run.path} is over ({over.get('stop_reason') or over['status']}): nothing to do."
    if over.get("stop_reason"):
        return f"{done} To train again with other settings: genophen run {run.config} --set A.B=VALUE"
    more = 2 * int(over["rounds"])
    return f"{done} To train on: genophen resume {run.path} --rounds {more}"


def _rounds(tables: Mapping[str, Any]) -> int:
    training = read_options(TrainingSettings, tables.get("training", {}), "training")
    return training.rounds


def _extended(run: RunDirectory, config: Config, over: Mapping[str, Any] | None) -> bool:
    """Whether the run is to have more rounds than config.toml says."""
    before, now = _rounds(read_toml(run.config)), config.training.rounds
    attempted = f"cannot give the run in {run.path} {now} rounds"
    if now < before:
        raise ConfigError(attempted, found=f"it has {before}", allowed=f"--rounds from {before}")
    if now > before and over is not None and over.get("stop_reason"):
        raise ConfigError(
            attempted,
            found=f"it ended after round {over['rounds']} for another reason: {over['stop_reason']}",
            allowed="more rounds for a run that has done all of them, or was interrupted",
            next_step=f"train again with other settings: genophen run {run.config} --set A.B=VALUE",
        )
    return bool(now > before)


def _chosen(run: RunDirectory, names: Sequence[str], wanted: str) -> str:
    if names and wanted in ("", *names):
        return wanted or names[-1]
    raise ConfigError(
        f"cannot resume the run in {run.path}",
        found=f"no checkpoint {wanted}" if wanted else "its checkpoints are gone",
        allowed=", ".join(names),
        next_step="" if names else f"train again: genophen run {run.config}",
    )


def _load(run: RunDirectory, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint, or a DamagedError that names another one that is whole."""
    try:
        return run.checkpoints.load(name)
    except DamagedError as error:
        whole = [other for other in run.checkpoints.names() if other != name and _is_whole(run, other)]
        next_step = f"train again: genophen run {run.config}"
        if whole:
            next_step = (
                f"go on from another one, which is whole: genophen resume {run.path} --checkpoint {whole[-1]}"
            )
        raise DamagedError(
            error.attempted, found=error.found, allowed=error.allowed, next_step=next_step
        ) from None


def _is_whole(run: RunDirectory, name: str) -> bool:
    try:
        load_checkpoint(run.checkpoints.folder / name)
    except DamagedError:
        return False
    return True


def _environment(run: RunDirectory, force: bool) -> dict[str, Any]:
    """What the run began with; with `force`, nothing where that cannot be read."""
    try:
        environment = read_json(run.environment)
        if isinstance(environment, dict):
            return environment
        found = "it holds no table"
    except UnreadableError as error:
        found = error.found
    if force:
        return {}
    raise DamagedError(
        f"cannot read {run.environment}",
        found=found,
        allowed="the file that the run wrote, to compare plugins and data with",
        next_step="restore it from a copy, or go on unchecked with --force",
    )


def _with_earlier(now: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """The environment, and in `earlier` those of the sittings before it that were others."""
    before = earlier.pop("earlier", [])
    if earlier and earlier != now:
        before = [*before, earlier]
    return {**now, "earlier": before} if before else now


def _other_machine(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """A remark where the numbers may not be those of an undisturbed run to the bit."""
    changed = [
        f"{key} {then} then, {now[part].get(key)} now"
        for part in ("packages", "machine")
        for key, then in earlier.get(part, {}).items()
        if now[part].get(key) != then
    ]
    return f"; perhaps not to the bit ({'; '.join(changed)})" if changed else ""


def _note_extension(loop: Loop, extended: bool, notify: Notify) -> None:
    if extended and loop.optimizer.needs_all_rounds:
        notify(
            f"the schedule is laid out anew over all {loop.config.training.rounds} rounds: "
            "the learning rate goes on where such a run would be now, so that it may rise"
        )


def _version(plugin: Mapping[str, Any]) -> str:
    """Distribution and version; the digest of a single file, which may have moved."""
    if plugin.get("sha256"):
        return f"a file with SHA-256 {plugin['sha256']}"
    return f"{plugin.get('distribution')} {plugin.get('version')}"

"""Training what a config describes, in a run directory of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genophen.config.config import Config
from genophen.contracts.reporter import Reporter
from genophen.plugins.registry import Plugins
from genophen.storage.environment import git_commit, machine, package_versions
from genophen.storage.rundir import RunDirectory
from genophen.training.building import check_gradients
from genophen.training.experiment import Experiment, assemble
from genophen.training.loop import Loop
from genophen.training.preparing import Notify
from genophen.training.signals import StopSignal, hand_on


def train(loop: Loop, reporters: Sequence[Reporter]) -> dict[str, Any]:
    """Train to the end, or to whatever stops it, and return the result as it stands in `result.json`.

    The test images are looked at once, with the weights of the best validation round. A signal that comes
    when there is nothing left to interrupt is handed on, to the caller's handler or as an exception.
    """
    loop.state.check_space()
    info = loop.account.info()
    for reporter in reporters:
        reporter.start(info)
    result: dict[str, Any] = {"status": "failed"}
    try:
        with StopSignal() as stop_signal:
            loop.run(stop_signal)
            result = loop.result()
            loop.run_directory.write_json(loop.run_directory.result, result)
    finally:
        for reporter in reporters:
            reporter.end(result)
    if stop_signal.number and result["status"] != "interrupted":
        hand_on(stop_signal.number)
    return result


def run_config(
    config: Config,
    plugins: Plugins,
    name: str,
    out: Path | None,
    reporters: Sequence[Reporter] = (),
    notify: Notify = lambda note: None,
) -> tuple[RunDirectory, dict[str, Any]]:
    """Make the run directory, assemble the experiment and train it; `name` is the config's, for the folder.

    A run that fails before its first step leaves no folder behind.
    """
    with RunDirectory.create(out, name, config.to_toml()) as run:
        try:
            return run, train_from_start(run, config, plugins, reporters, notify)
        except BaseException:
            if not run.metrics.is_file():
                run.discard()
            raise


def train_from_start(
    run: RunDirectory, config: Config, plugins: Plugins, reporters: Sequence[Reporter], notify: Notify
) -> dict[str, Any]:
    """Assemble what the config of a locked run directory describes, and train it from the first step on."""
    experiment = assemble(config, plugins, notify)
    check_gradients(config, plugins, experiment.phenotype)
    if excess := experiment.phenotype.excess():
        notify(excess)
    loop = Loop(experiment, run, reporters)
    for key, value in loop.account.derived().items():
        notify(f"{key} = {json.dumps(value)}, as it was left open")
    run.write_json(run.environment, describe_environment(experiment))
    return train(loop, reporters)


def plugins_in_use(config: Config, plugins: Plugins) -> list[dict[str, Any]]:
    """Kind, name, distribution and version of each plugin that a config selects."""
    in_use = []
    for kind, choice in config.choices().items():
        plugin = plugins.get(kind, choice.name)
        source = asdict(plugin.source)
        in_use.append({"kind": kind, "name": plugin.name, "plugin": source.pop("name"), **source})
    return in_use


def describe_environment(experiment: Experiment) -> dict[str, Any]:
    """What `environment.json` records: versions, machine, commit, plugins, the task, what it measures on."""
    task = experiment.task
    return {
        "packages": package_versions(),
        "machine": machine(experiment.device),
        "git_commit": git_commit(),
        "plugins": plugins_in_use(experiment.config, experiment.plugins),
        "task": {
            "name": experiment.config.task.name,
            **task.measured().as_record(),
            "input_shape": list(task.input_shape),
            "num_outputs": task.num_outputs,
            **({"symbols": list(task.symbols)} if task.symbols else {}),
        },
        "dataset": {"name": experiment.config.source, "sha256": task.digest(), "images": task.sizes()},
    }

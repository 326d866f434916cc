"""Runs of a small network with every kind of state, and what two equal ones have in common."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import ROOT
from helpers import digits_tables

import genophen
from genophen.config.config import resolve_config
from genophen.plugins.loading import load_plugins
from genophen.storage.rundir import RunDirectory
from genophen.training.start import run_config

NOISY = ROOT / "tests" / "noisy.py"
EVOLVED = {"generations_per_round": 3, "population_size": 6}
#: Each is interrupted, killed and resumed in every way below; all take three steps a round.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"name": "adam"},
    "sgd": {"name": "sgd"},
    "cma-es": {"name": "cma-es", "cma-es": {**EVOLVED, "genes": "embeddings"}},
    "separable-cma-es": {"name": "cma-es", "cma-es": {**EVOLVED, "genes": "all", "separable": True}},
}


def noisy_tables(**training: Any) -> dict[str, Any]:
    """Three steps a round, on a network with every kind of state."""
    settings = {"rounds": 3, "batch_size": 400, "checkpoint_seconds": 1000.0, **training}
    return digits_tables(**settings) | {"architecture": {"name": "noisy"}, "augmentation": {"padding": 1}}


def run(tables: dict[str, Any], out: Path, *reporters: genophen.Reporter) -> dict[str, Any]:
    plugins = load_plugins([NOISY])
    config = resolve_config(tables, plugins, "of the test")
    return run_config(config, plugins, "x", out, reporters)[1]


def resume(out: Path, **options: Any) -> dict[str, Any]:
    return genophen.resume(out, plugin_files=[NOISY], **options)


def leaves(out: Path) -> dict[str, Any]:
    """What two equal runs have in common: all but the clock."""
    directory = RunDirectory(out)
    last = directory.checkpoints.names()[-1]
    result = json.loads(directory.result.read_bytes())
    assert result.pop("wall_seconds") > 0
    return {
        "metrics": directory.metrics.read_bytes(),
        "rounds timed": [json.loads(line)["round"] for line in directory.timings.read_bytes().splitlines()],
        "result": result,
        "best": (out / "best" / f"round-{result['best_round']:05}.safetensors").read_bytes(),
        "best is whole": directory.load_best()[1],
        "checkpoint": (out / "checkpoints" / last / "state.safetensors").read_bytes(),
        "name": last,
    }


class Calling(genophen.Reporter):
    """Calls a function after every step and every round, with the number of calls so far."""

    name = "calling"
    description = "for a test"

    def __init__(self, call: Callable[[int], None]) -> None:
        self.call, self.count = call, 0

    def start(self, info: genophen.RunInfo) -> None:
        self.info = info

    def step(self) -> None:
        self.count += 1
        self.call(self.count)

    def round(self, row: Any, seconds: float) -> None:
        self.step()

    def end(self, result: Any) -> None:
        pass


def interrupt_at(number: int) -> Calling:
    return Calling(lambda count: os.kill(os.getpid(), signal.SIGINT) if count == number else None)

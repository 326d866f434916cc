"""What an optimizer has to do, and a small problem to try it on."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from genophen.config.settings import TrainingSettings
from genophen.contracts.genotype import Genotype
from genophen.contracts.optimizer import Context, Metrics, Optimizer
from genophen.contracts.options import Options
from genophen.data.classification import Classification
from genophen.errors import PluginError
from genophen.phenotype.compiling import compile_phenotype
from genophen.phenotype.phenotype import Phenotype
from genophen.storage.checkpoint import load_checkpoint, save_checkpoint
from genophen.storage.guard import GuardedPath
from genophen.storage.packing import pack, unpack
from genophen.testing.copy_genotype import CopyGenotype
from genophen.testing.findings import Findings, check_call, check_class, default_options, require
from genophen.testing.genotype import equal
from genophen.testing.small_data import small_context


def examine_optimizer(findings: Findings, cls: type[Optimizer], options: Options | None = None) -> None:
    """Take steps on a small problem, and check that a state restored from a file continues to the bit."""
    with findings.needed("the class has all that an optimizer needs"):
        check_class("optimizer", cls)
    with findings.needed("it can be made without settings"):
        options = default_options(cls, options)
        optimizer = cls(options)
        check_call(optimizer.setup, "write def setup(self, context)", None)
        check_call(optimizer.step, "write def step(self)")
    genotype = cls.works_on or CopyGenotype
    with findings.needed("setup() sets steps_per_round"):
        whole = OptimizerTrial(cls, options, genotype)
        start = copy.deepcopy(whole.phenotype.state_dict())
        steps = getattr(whole.optimizer, "steps_per_round", "not set")
        require(
            isinstance(steps, int) and steps >= 1,
            f"steps_per_round is {steps}: set it to a whole number from 1 in setup(), such as "
            "len(context.batches)",
        )
    with findings.needed("step() returns Metrics of finite numbers"):
        whole.optimizer.finish_round()
        for _ in range(4):
            _check_metrics(whole.step())
        whole.optimizer.finish_round()
    with findings.check("steps change the phenotype"):
        require(
            not equal(start, whole.phenotype.state_dict()),
            "four steps changed nothing in the phenotype: change context.phenotype.parameters() in place, in "
            "step() or finish_round()",
        )
    with findings.check("state_dict() holds all that the next steps depend on"):
        first = OptimizerTrial(cls, options, genotype)
        for _ in range(2):
            first.step()
        second = OptimizerTrial(cls, options, genotype)
        second.restore(_through_checkpoint(first.state()))
        for _ in range(2):
            second.step()
        second.optimizer.finish_round()
        require(
            equal(whole.phenotype.state_dict(), second.phenotype.state_dict()),
            "a restored state continues differently: let state_dict() hold all that the next steps depend on "
            "(step numbers, momenta; draws come from context.generator), load_state_dict() put it back",
        )


def _check_metrics(metrics: object) -> None:
    if not isinstance(metrics, Metrics):
        raise AssertionError(
            f"step() returned {type(metrics).__name__}, not Metrics: return genophen.Metrics(train_loss=loss)"
        )
    for name, value in {"train_loss": metrics.train_loss, **metrics.extras}.items():
        require(
            math.isfinite(float(value)),
            f"{name} is {float(value)} on an easy problem: try smaller default steps",
        )


class OptimizerTrial:
    """An optimizer on a small network and 64 random images, all seeded."""

    def __init__(
        self, cls: type[Optimizer], options: Options | None = None, genotype: type[Genotype] = CopyGenotype
    ) -> None:
        training = TrainingSettings(rounds=2, batch_size=16)
        self.task = Classification()
        self.task.setup(small_context(training))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.Sequential(
                nn.Conv2d(1, 4, 3),
                nn.Conv2d(4, 4, 3),
                nn.ReLU(),
                nn.Dropout(0.1),
                nn.Flatten(),
                nn.Linear(64, 3),
            )
        self.phenotype: Phenotype = compile_phenotype(network, ["0.weight"], genotype)
        # As runs on a CPU have it: state that follows a tensor's memory format must keep it.
        self.phenotype.to(memory_format=torch.channels_last)
        self.generator = torch.Generator().manual_seed(1)
        self._global_state = torch.Generator().manual_seed(2).get_state()
        self.optimizer = cls(options)
        self.context = Context(
            phenotype=self.phenotype,
            task=self.task,
            readout=None,
            training=training,
            total_rounds=2,
            generator=self.generator,
            optimizer=cls.name,
        )
        self.optimizer.setup(self.context)

    def step(self) -> Metrics:
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(self._global_state)
            metrics = self.optimizer.step()
            self._global_state = torch.random.get_rng_state()
        return metrics

    def state(self) -> dict[str, Any]:
        return {
            "phenotype": self.phenotype.state_dict(),
            "task": self.task.state_dict(),
            "generator": self.generator.get_state(),
            "global": self._global_state,
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.phenotype.load_state_dict(state["phenotype"])
        self.task.load_state_dict(state["task"])
        self.generator.set_state(state["generator"])
        self._global_state = state["global"]
        self.optimizer.load_state_dict(state["optimizer"])


def _through_checkpoint(state: dict[str, Any]) -> Any:
    """The state as a checkpoint gives it back."""
    try:
        tensors, packed = pack(state, "state")
    except PluginError as error:
        raise AssertionError(error.text()) from error
    with TemporaryDirectory() as folder:
        saved = GuardedPath(Path(folder)) / "saved"
        save_checkpoint(saved, "state", tensors, {"state": packed})
        loaded, values = load_checkpoint(saved)
    return unpack(loaded, values["state"])

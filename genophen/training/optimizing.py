"""The optimizer of a config, and what it works with."""

from __future__ import annotations

from collections.abc import Callable

import torch

from genophen.config.config import Config
from genophen.contracts.architecture import Architecture
from genophen.contracts.optimizer import Context, Optimizer
from genophen.contracts.task import Task
from genophen.errors import PluginError
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.registry import Plugins
from genophen.training.seeds import derive_seed


def context_of(
    config: Config,
    task: Task,
    architecture: Architecture,
    phenotype: Phenotype,
    doing: Callable[[str, float | None], None] = lambda what, done: None,
) -> Context:
    """What the optimizer of a config works with; its generator is at the start."""
    return Context(
        phenotype=phenotype,
        task=task,
        readout=architecture.readout,
        training=config.training,
        total_rounds=config.training.rounds,
        generator=torch.Generator().manual_seed(derive_seed(config.training.seed, "optimizer")),
        optimizer=config.optimizer.name,
        doing=doing,
    )


def make_optimizer(config: Config, plugins: Plugins) -> Optimizer:
    """The optimizer with its settings, not set up yet."""
    optimizer: Optimizer = plugins.get("optimizer", config.optimizer.name).cls(config.optimizer.options)
    return optimizer


def check_steps(optimizer: Optimizer, name: str) -> None:
    """Raise a PluginError where `setup` has not said how many steps a round has."""
    steps = getattr(optimizer, "steps_per_round", "not set")
    if not isinstance(steps, int) or steps < 1:
        raise PluginError(
            f"cannot use the optimizer {name}",
            found=f"steps_per_round is {steps}",
            allowed="a whole number from 1, set by setup()",
        )

"""From a config to the objects of a run: task, architecture and phenotype, on one device."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from genophen.config.config import Config
from genophen.contracts.architecture import Architecture
from genophen.contracts.options import shown
from genophen.contracts.playback import Playback
from genophen.contracts.task import Scores, SplitName, Task
from genophen.phenotype.gene_names import STATISTICS
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.registry import Plugins
from genophen.training.building import build, choose_memory_format, make_architecture
from genophen.training.device import choose_device
from genophen.training.preparing import Notify, prepare_task
from genophen.training.seeds import seed_global_generators


@dataclass
class Experiment:
    """The objects that a config describes, on one device."""

    config: Config
    plugins: Plugins
    device: torch.device
    task: Task
    #: What the task draws from.
    generator: torch.Generator
    architecture: Architecture
    phenotype: Phenotype

    def evaluate(self, split: SplitName) -> Scores:
        """The task's scores on a split, in eval mode, counted apart from the training."""
        phenotype, was_training = self.phenotype, self.phenotype.training
        phenotype.eval()
        with (
            torch.inference_mode(),
            phenotype.samples.paused(),
            self.plugins.blame("task", self.config.task.name),
        ):
            scores = self.task.evaluate(phenotype, split)
            if not isinstance(scores, Scores):
                raise TypeError(f"evaluate() returned {shown(scores)}, not genophen.Scores")
        phenotype.train(was_training)
        return scores

    def playback(self, start: int = 0, steps: int | None = None) -> Playback | None:
        """An episode to be looked at (see `Task.playback`)."""
        with (
            torch.inference_mode(),
            self.phenotype.samples.paused(),
            self.plugins.blame("task", self.config.task.name),
        ):
            return self.task.playback(self.phenotype.eval(), start, steps)


def assemble(config: Config, plugins: Plugins, notify: Notify) -> Experiment:
    """Build everything that a config describes. `notify` is told what the user may want to know.

    Raises:
        ConfigError: where task, data and architecture do not fit each other.
        PluginError: for a plugin that breaks its contract.
    """
    # Plugins of others may draw from the global generators.
    seed_global_generators(config.training.seed)
    device = choose_device(config.training.device)
    architecture = make_architecture(config, plugins)
    task, generator = prepare_task(config, plugins, architecture, device, notify)
    phenotype = build(config, plugins, architecture).to(device)
    if task.statistics is not None:
        phenotype.add_module(STATISTICS.rstrip("."), task.statistics.to(device))
    task.use_memory_format(choose_memory_format(config, architecture, phenotype, task.example(2)))
    if config.training.precision != "float32":
        phenotype.training_precision = getattr(torch, config.training.precision)
    return Experiment(config, plugins, device, task, generator, architecture, phenotype)


def build_phenotype(
    config: Config, plugins: Plugins, shapes: tuple[tuple[int, ...], int] | None = None
) -> tuple[Architecture, Phenotype]:
    """Architecture and compiled phenotype, on the CPU.

    What the architecture leaves open is taken from `shapes`, an input's shape and the number of outputs, or
    else from the task, which reads its data for that.
    """
    architecture = make_architecture(config, plugins)
    if architecture.is_open and shapes is not None:
        architecture.fill_in(*shapes)
    elif architecture.is_open:
        prepare_task(config, plugins, architecture, torch.device("cpu"), lambda note: None)
    return architecture, build(config, plugins, architecture)

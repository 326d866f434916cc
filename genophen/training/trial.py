"""What a config describes without its data: for counting parameters, and for dry runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from genophen.config.config import Config
from genophen.contracts.architecture import Architecture
from genophen.contracts.task import Task
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.registry import Plugins
from genophen.training.building import build, check_gradients, check_output, make_architecture
from genophen.training.device import choose_device
from genophen.training.optimizing import context_of, make_optimizer
from genophen.training.preparing import check_fit, prepare_task
from genophen.training.space import check_space


@dataclass
class Trial:
    """A network on the CPU, and a task that is set up only where it has no data set or tells the shapes."""

    config: Config
    plugins: Plugins
    task: Task
    architecture: Architecture
    phenotype: Phenotype
    #: Whether data was read for it, which happens where the architecture leaves its shapes to the task.
    data_was_read: bool
    #: Numbers that the optimizer searches; None: all that are trained, or not known before `check_optimizer`.
    searched: int | None = None

    def parameters(self) -> dict[str, int]:
        """Counts as `result.json` has them."""
        counts = asdict(self.phenotype.parameter_counts())
        return {**counts, "searched": counts["total"] if self.searched is None else self.searched}

    def check_optimizer(self) -> None:
        """Ask the optimizer what it searches, and whether it can.

        Raises:
            GenophenError: where it cannot, for another reason than the data.
        """
        context = context_of(self.config, self.task, self.architecture, self.phenotype)
        with self.plugins.blame("optimizer", self.config.optimizer.name):
            optimizer = make_optimizer(self.config, self.plugins)
            try:
                optimizer.check(context)
            finally:
                self.searched = optimizer.searched

    def check_space(self, directory: Path) -> None:
        """Refuse a disk that would be full before the run's end, as far as the network tells.

        Raises:
            GenophenError: with what is free, and what is needed.
        """
        weights = sum(tensor.nbytes for tensor in self.phenotype.state_dict().values())
        check_space(directory, self.phenotype, weights, self.config.training.rounds)

    def check_network(self) -> None:
        """Refuse a device that is not there, and a network that cannot run or be trained.

        Raises:
            GenophenError: with what was found.
        """
        choose_device(self.config.training.device)
        check_gradients(self.config, self.plugins, self.phenotype)
        name = self.config.architecture.name
        check_output(self.architecture, self.phenotype, name, self.task.example(2))


def lay_out(config: Config, plugins: Plugins) -> Trial:
    """The network of a config, and its task; data is read only where nothing else tells the shapes.

    Raises:
        GenophenError: where task and architecture do not fit, or a plugin breaks its contract.
    """
    architecture = make_architecture(config, plugins)
    reads_data = architecture.is_open and config.dataset is not None
    if architecture.is_open or config.dataset is None:
        task, _ = prepare_task(config, plugins, architecture, torch.device("cpu"), lambda note: None)
    else:
        with plugins.blame("task", config.task.name):
            task = plugins.get("task", config.task.name).cls(config.task.options)
        task.input_shape, task.num_outputs = architecture.shapes()
        check_fit(architecture, task, config.architecture.name)
    return Trial(config, plugins, task, architecture, build(config, plugins, architecture), reads_data)

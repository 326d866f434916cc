"""The task of a config, set up: with the data set that it stands over, and the shapes of its networks."""

from __future__ import annotations

from collections.abc import Callable

import torch

from genophen.config.config import Config
from genophen.contracts.architecture import Architecture
from genophen.contracts.dataset import Data, Dataset
from genophen.contracts.sequences import SequenceData, Text
from genophen.contracts.task import Task, TaskContext, check_task
from genophen.data.sequence_checks import check_sequences
from genophen.data.splits import check_data, draw_validation
from genophen.errors import ConfigError
from genophen.plugins.registry import Plugins
from genophen.training.seeds import derive_seed

Notify = Callable[[str], None]


def prepare_task(
    config: Config,
    plugins: Plugins,
    architecture: Architecture,
    device: torch.device,
    notify: Notify,
) -> tuple[Task, torch.Generator]:
    """The task, set up, and the generator of its draws; what the architecture left open is filled in.

    Raises:
        ConfigError: where task and architecture do not fit each other.
        PluginError: for a task that breaks its contract.
        GenophenError: where the data cannot be had.
    """
    generator = torch.Generator().manual_seed(derive_seed(config.training.seed, "batches"))
    shape = architecture.input_shape
    context = TaskContext(
        architecture=config.architecture.name,
        input_shape=None if shape is None else tuple(shape),
        num_outputs=architecture.num_outputs,
        device=device,
        generator=generator,
        training=config.training,
        augmentation=config.augmentation,
        storage=config.data.storage,
        data_dir=config.data.data_dir,
        data=None if config.dataset is None else load_data(config, plugins, notify),
        dataset=config.source,
        notify=notify,
    )
    with plugins.blame("task", config.task.name):
        task: Task = plugins.get("task", config.task.name).cls(config.task.options)
        task.setup(context)
        check_task(task)
        architecture.fill_in(tuple(task.input_shape), task.num_outputs)
    check_fit(architecture, task, config.architecture.name)
    return task, generator


def check_fit(architecture: Architecture, task: Task, name: str) -> None:
    """Raise a ConfigError where the architecture's own shapes are not the task's, or it is not recurrent."""
    if task.recurrent and not architecture.recurrent:
        raise ConfigError(
            f"cannot use the architecture {name} for the task {task.name}",
            found="its network takes one input, and carries nothing to the next",
            allowed="a recurrent architecture",
            next_step="`genophen plugins list` names them; --architecture NAME",
        )
    wanted, found = (tuple(task.input_shape), task.num_outputs), architecture.shapes()
    if wanted != found:
        raise ConfigError(
            f"cannot use the architecture {name} for the task {task.name}",
            found=f"it takes inputs of shape {found[0]} and gives {found[1]} outputs, where the task has "
            f"{wanted[0]} and {wanted[1]}",
            allowed="an architecture with the task's shapes, or one that leaves its own open",
            next_step=f"`genophen plugins show {name}` lists its settings; --architecture NAME takes another",
        )


def load_data(config: Config, plugins: Plugins, notify: Notify) -> Data | SequenceData | Text:
    """The data set with all three splits."""
    assert config.dataset is not None
    name = config.dataset.name
    with plugins.blame("dataset", name):
        dataset: Dataset = plugins.get("dataset", name).cls(config.dataset.options)
        data = dataset.load(config.data.data_dir)
        if isinstance(data, SequenceData | Text):
            check_sequences(data, name)
            return data
        check_data(data, name)
    if data.validation is None:
        return draw_validation(data, config.data.validation_size, config.data.split_seed)
    if config.data.validation_size is not None:
        notify(
            f"dataset.validation_size is not used: {name} has {len(data.validation)} validation images of "
            "its own"
        )
    return data

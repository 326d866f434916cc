"""Optimizers: what changes a phenotype, one step at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor

from genophen.contracts.genotype import Genotype
from genophen.contracts.options import Options as AnyOptions
from genophen.contracts.options import shown
from genophen.contracts.task import Task
from genophen.errors import ConfigError

if TYPE_CHECKING:
    from genophen.data.batches import EvaluationBatches, TrainBatches
    from genophen.data.classification import Classification
    from genophen.phenotype.phenotype import Phenotype


@dataclass(frozen=True)
class Metrics:
    """What one step reports. Tensors may stay on the device: they are read once a round."""

    #: Mean loss over the step's inputs, a number or a tensor of shape ().
    train_loss: float | Tensor
    learning_rate: float | None = None
    #: Further numbers, by names other than those of `metrics.jsonl`; a round's last step is recorded.
    extras: Mapping[str, float | Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Here, where the optimizer that made it is at work, and not at the end of a round.
        rate = 0.0 if self.learning_rate is None else self.learning_rate
        for name, value in {"train_loss": self.train_loss, "learning_rate": rate, **self.extras}.items():
            if not isinstance(value, Real) and not (isinstance(value, Tensor) and value.numel() == 1):
                raise TypeError(f"Metrics: {name} is {shown(value)}, not a number")


@dataclass(frozen=True)
class Context:
    """What an optimizer works with."""

    phenotype: Phenotype
    #: What the phenotype is optimised for: it draws the batches, and has their loss and fitness.
    task: Task
    #: The architecture's own word on which module is its readout.
    readout: str | None
    #: The config's section `training`.
    training: AnyOptions
    total_rounds: int
    #: For an optimizer's own draws, on the CPU; the experiment saves and restores its state.
    generator: torch.Generator
    #: The optimizer's own name.
    optimizer: str
    #: Tells who waits what goes on inside a long step, and how much of it is done, from 0 to 1.
    doing: Callable[[str, float | None], None] = lambda what, done: None

    @property
    def batches(self) -> TrainBatches:
        """Training batches of labelled images, for an optimizer with a loss of its own.

        Raises:
            ConfigError: where the task has no labelled images; so for `train_images`.
        """
        return self._of_images().batches

    @property
    def train_images(self) -> EvaluationBatches:
        """The training images in order, normalised, without augmentation."""
        return self._of_images().in_order("train")

    def check_images(self) -> None:
        """Raise a ConfigError where the task has no labelled images."""
        if not hasattr(self.task, "in_order"):
            raise ConfigError(
                f"cannot use the optimizer {self.optimizer} for the task {self.task.name}",
                found="with these settings it works on labelled images, and the task has none",
                allowed="a task over a data set of images, such as classification",
                next_step="other settings of the optimizer (`genophen plugins show`), or another optimizer",
            )

    def _of_images(self) -> Classification:
        self.check_images()
        return cast("Classification", self.task)


class Optimizer(ABC):
    """Improves a phenotype for a task; rounds, validation and stopping are the experiment's.

    A subclass sets `name` and `description`, nests its settings as `Options`, and writes the methods below.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type[AnyOptions]] = AnyOptions

    #: Whether it takes gradients of `task.loss`, which not every task has.
    needs_gradients: ClassVar[bool] = False
    #: The genotypes that it can change, where that is not every one; others are a config error.
    works_on: ClassVar[type[Genotype] | None] = None
    #: Which extras of `Metrics` a report draws against rounds: their names, and what it calls them.
    charted: ClassVar[Mapping[str, str]] = MappingProxyType({})
    #: Steps between two validations; set by `setup`.
    steps_per_round: int
    #: What the training loss of its metrics is, for who reads it.
    train_loss: str = "train loss"
    #: True where the settings are laid out over all rounds, so that stopping early would cut them short.
    needs_all_rounds: bool = False
    #: Why the run is to end now, with what `finish_round` puts into the phenotype; empty: it goes on.
    stop_reason: str = ""
    #: How many numbers are searched, where those are not all trainable ones; set by `setup`, and by
    #: `check` where it can be told without data.
    searched: int | None = None
    #: What `setup` put in the place of settings that were left open, by their names; printed and recorded.
    derived: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, options: AnyOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    def check(self, context: Context) -> None:  # noqa: B027
        """Refuse what a run would refuse, and set `searched`, as far as both can be told without data.

        Called for a dry run and to count parameters, on objects that are thrown away: the phenotype may be
        changed. The task is not set up; it has `input_shape`, `num_outputs` and `example`.

        Raises:
            GenophenError: for settings that this phenotype or task cannot be improved with.
        """

    @abstractmethod
    def setup(self, context: Context) -> None:
        """Get ready to improve `context.phenotype`; called once, before the first step."""

    @abstractmethod
    def step(self) -> Metrics:
        """Improve the phenotype by one minibatch or one generation."""

    def finish_round(self) -> None:  # noqa: B027
        """Put what is to be measured into the phenotype; called before every validation."""

    @classmethod
    def baselines(cls, options: AnyOptions) -> Mapping[str, Mapping[str, Any]]:
        """What a run with these settings is to be compared with: by name, config tables to lay over its own.

        `genophen sweep` makes rows of those that a sweep file asks for.
        """
        return {}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on, less phenotype, task and generators.

        Made of tensors, numbers, strings, None, and lists, tuples and dicts (keys: str or int) of them.
        """

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` gave; called after `setup`. Its tensors are on the CPU."""

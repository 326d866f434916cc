"""Tasks: what a network is optimised for. A task owns the loss, the fitness and the score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genophen.contracts.measure import Measure
from genophen.contracts.options import Options as AnyOptions
from genophen.contracts.options import shown
from genophen.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from genophen.config.settings import TrainingSettings
    from genophen.contracts.dataset import Data
    from genophen.contracts.playback import Playback
    from genophen.contracts.sequences import SequenceData, Text
    from genophen.data.augmentation import Augmentation
    from genophen.phenotype.phenotype import Phenotype
    from genophen.population.networks import Networks

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Scores:
    """How well a network does on a split."""

    #: In the task's measure: higher is better, in any range.
    value: float
    loss: float | None = None
    #: Further numbers by name; recorded, and ranked by nowhere.
    extras: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskContext:
    """What a task is set up with, before there is a network."""

    #: Name of the architecture, and what it takes and gives; None: as the task has it.
    architecture: str
    input_shape: tuple[int, ...] | None
    num_outputs: int | None
    #: Where the network computes.
    device: torch.device
    #: For every draw of the task's, on the CPU; the experiment saves and restores its state.
    generator: torch.Generator
    #: The config's sections `training` and `augmentation`, and `dataset.storage`.
    training: TrainingSettings
    augmentation: Augmentation
    storage: str
    #: Folder of the data sets.
    data_dir: Path
    #: The data set of [dataset], its validation split drawn; None unless the task is `over_dataset`.
    data: Data | SequenceData | Text | None
    dataset: str
    #: Tells the user what may be worth knowing.
    notify: Callable[[str], None]


class Task(ABC):
    """What networks are trained and measured for.

    A subclass sets `name`, `description` and `measure`, nests its settings as `Options`, and writes `setup`,
    `draw` and `evaluate`; `loss` where it is differentiable, `fitness` where evolution is to rank by it.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type[AnyOptions]] = AnyOptions

    #: What the score is called, such as `accuracy`; known once the task is made.
    measure: str
    #: The score is a fraction, to be written in per cent.
    percent: bool = False
    #: The score is minus what its name says: of what is better the lower it is.
    negated: bool = False
    #: What `sizes` counts.
    inputs: ClassVar[str] = "inputs"
    #: Whether `loss` has gradients; where it has none, only optimizers that need none can be used.
    differentiable: bool = True
    #: Whether the task stands over the data set that [dataset] selects.
    over_dataset: ClassVar[bool] = False
    #: Whether its networks have to be recurrent ones: it calls `phenotype.sequence`.
    recurrent: ClassVar[bool] = False

    #: Set by `setup`: shape of one input, without the batch's axis, and the number of a network's outputs.
    input_shape: tuple[int, ...]
    num_outputs: int
    #: Set by `setup`, where networks tell the next one of these at every step: what their inputs
    #: (`symbol_vectors`) and outputs stand for. Such runs write texts (`genophen generate`).
    symbols: tuple[str, ...] = ()
    #: Set by `setup`: batches between two validations, for optimizers that take one a step.
    steps_per_round: int
    #: Set by `setup`, where networks are measured with numbers that the training gathers, such as statistics
    #: of what they see: a module that has them as buffers. It is kept with the weights, those of the best
    #: round among them.
    statistics: nn.Module | None = None

    def __new__(cls, *arguments: object, **named: object) -> Task:
        if cls is Task:
            raise TypeError(
                "genophen.Task is what networks are trained for, and abstract; what an executor runs is a "
                "genophen.Job now"
            )
        return super().__new__(cls)

    def __init__(self, options: AnyOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    @abstractmethod
    def setup(self, context: TaskContext) -> None:
        """Get ready: set `input_shape`, `num_outputs` and `steps_per_round`. Called once, before the network.

        Raises:
            ConfigError: where the architecture's shapes do not fit what the task has.
        """

    def use_memory_format(self, memory_format: torch.memory_format) -> None:  # noqa: B027
        """Give images in that order in memory from now on; called once the network is built."""

    @abstractmethod
    def draw(self) -> Any:
        """What one step works on: a minibatch, or the starts of episodes."""

    def loss(self, phenotype: Phenotype, batch: Any) -> Tensor:
        """The loss to be minimised, a tensor of shape () with gradients, on a batch that `draw` gave."""
        raise ConfigError(
            f"cannot take the gradient of the task {self.name}",
            found="it has no loss",
            allowed="an optimizer that ranks candidates, such as cma-es",
            next_step="--optimizer NAME",
        )

    def smooth_labels(self, share: float) -> None:
        """Spread a share of the target over all classes from now on, in `loss`. May come before `setup`."""
        raise ConfigError(
            f"cannot smooth the labels of the task {self.name}",
            found=f"label_smoothing = {share}",
            allowed="0, for a task without classes",
        )

    def fitness(self, networks: Networks, batch: Any) -> Tensor:
        """How good each candidate is, (P,), on a batch that `draw` gave; higher is better.

        `networks` is called like one network: inputs (N, ...) give outputs (P, N, ...). Other processes may
        compute it: they are sent the task, as pickle makes it (see `__getstate__`), and the batch.
        """
        raise PluginError(
            f"cannot evolve networks for the task {self.name}",
            found="it has no fitness",
            next_step="write fitness(self, networks, batch), or train by gradients: --optimizer adam",
        )

    def take_notes(self) -> Any:
        """What `fitness` noted in another process; nothing of it is left there. None: it notes nothing."""
        return None

    def add_notes(self, notes: Any) -> None:  # noqa: B027
        """Note what `take_notes` gave in another process, in the order of the candidates."""

    def solved(self, alone: Callable[[int], Any], fitness: Tensor) -> int | None:
        """Which candidate passes the task's own test of success; None: none does, or it has no such test.

        Called after every generation with what `fitness` gave, (P,); `alone` gives the candidate of an index
        as `Networks` of one. What is run for the test is counted apart.
        """
        return None

    @abstractmethod
    def evaluate(self, phenotype: Phenotype, split: SplitName) -> Scores:
        """Measure a phenotype on a split. It is in eval mode, without gradients, and nothing is counted."""

    def playback(self, phenotype: Phenotype, start: int, steps: int | None) -> Playback | None:
        """One episode, to be looked at; None where the task has no episodes.

        `start`: the number of one of the starts that the test is measured from. `steps`: after which the
        episode ends at the latest; None: as in training. The phenotype is as in `evaluate`.

        Raises:
            ConfigError: for a start that there is not.
        """
        return None

    def example(self, count: int) -> Tensor:
        """Inputs of no meaning, (count, *input_shape), on which a network is tried before the training."""
        return torch.zeros(count, *self.input_shape)

    def sizes(self) -> dict[str, int]:
        """Inputs in each split by name; none where they have no end."""
        return {}

    @abstractmethod
    def digest(self) -> str:
        """SHA-256, or other text, of what the task measures on: equal where scores can be compared."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next draws depend on, less the context's generator (as `Optimizer.state_dict`)."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Continue from a state that `state_dict` gave; called after `setup`."""

    def measured(self) -> Measure:
        """The measure, with how its scores are written."""
        return Measure(self.measure, self.percent, self.negated)


def check_task(task: Task) -> None:
    """Raise a PluginError where a task has not said after `setup` what it has to say."""
    shape, counts = getattr(task, "input_shape", None), ("num_outputs", "steps_per_round")
    said = {name: getattr(task, name, None) for name in counts}
    sizes = [*(shape if isinstance(shape, tuple | list | torch.Size) else [None]), *said.values()]
    if not all(isinstance(n, int) and n > 0 for n in sizes):
        found = ", ".join(f"{name} {shown(value)}" for name, value in said.items())
        raise PluginError(
            f"cannot use the task {task.name}",
            found=f"after setup(): input_shape {shown(shape)}, {found}",
            allowed="a tuple of whole numbers from 1, and two such numbers",
        )
    if not isinstance(getattr(task, "measure", None), str) or task.measured().key in ("", "loss", "score"):
        raise PluginError(
            f"cannot use the task {task.name}",
            found=f"its measure is {shown(getattr(task, 'measure', None))}",
            allowed="the name of its score, such as 'accuracy', 'return' or 'R^2'; not 'loss' or 'score'",
        )

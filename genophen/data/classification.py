"""The task that is meant where a config names none: the right class of each image of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genophen.contracts.dataset import Data, Split
from genophen.contracts.task import SPLITS, Scores, SplitName, Task, TaskContext
from genophen.data.batches import EvaluationBatches, TrainBatches, check_fit, measure_normalization
from genophen.data.store import store
from genophen.errors import ConfigError
from genophen.phenotype.phenotype import Phenotype

if TYPE_CHECKING:
    from genophen.population.networks import Networks

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ClassificationScores(Scores):
    """Scores whose value is an accuracy."""

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.value


class Classification(Task):
    """Cross-entropy is the loss, and minus it the fitness; the share of right answers is the score."""

    name = "classification"
    description = "the right class of each image of the data set"
    measure = "accuracy"
    percent = True
    inputs = "images"
    over_dataset = True

    #: The data set as batches are taken from it, and augmented training batches.
    data: Data
    batches: TrainBatches
    _smoothing = 0.0

    def setup(self, context: TaskContext) -> None:
        data = context.data
        if not isinstance(data, Data):
            raise ConfigError(
                f"cannot use the data set {context.dataset} for the task {self.name}",
                found="its data are no labelled images",
                allowed="a data set of images",
                next_step="--task sequence-classification for sequences, next-token for texts",
            )
        image_shape = tuple(data.train.images.shape[1:])
        self._image_shape = check_fit(image_shape, context.input_shape or image_shape)
        self.input_shape = self._image_shape
        self.num_outputs = _outputs(context, data)
        self._digest = data.digest()
        self.data = store(data, self._image_shape, context)
        self._training, self._augmentation = context.training, context.augmentation
        self._device, self._generator = context.device, context.generator
        self._measured = measure_normalization(self.data.train, self._image_shape)
        self.use_memory_format(torch.contiguous_format)
        self.steps_per_round = len(self.batches)

    def use_memory_format(self, memory_format: torch.memory_format) -> None:
        self.normalization = self._measured.to(self._device, memory_format)
        self.batches = TrainBatches(
            self.data.train,
            self.normalization,
            self._image_shape,
            self._training.batch_size,
            self._augmentation,
            self._generator,
        )

    def smooth_labels(self, share: float) -> None:
        self._smoothing = share

    def draw(self) -> Batch:
        """Augmented images, float32 (N, C, H, W), and labels, int64 (N,)."""
        return self.batches.next()

    def loss(self, phenotype: Phenotype, batch: Batch) -> Tensor:
        images, labels = batch
        return F.cross_entropy(phenotype(images), labels, label_smoothing=self._smoothing)

    def fitness(self, networks: Networks, batch: Batch) -> Tensor:
        images, labels = batch
        logits: Tensor = networks(images).float()  # (P, N, num_outputs)
        count, n, _ = logits.shape
        losses = F.cross_entropy(logits.flatten(0, 1), labels.repeat(count), reduction="none")
        return -losses.view(count, n).mean(1)

    def evaluate(self, phenotype: Phenotype, split: SplitName) -> Scores:
        loss_sum, correct, count = 0.0, 0, 0
        for images, labels in self.in_order(split):
            logits = phenotype(images)  # (N, num_outputs)
            loss_sum += F.cross_entropy(logits, labels, reduction="sum").double().item()
            correct += int((logits.argmax(1) == labels).sum())
            count += len(labels)
        return ClassificationScores(correct / count, loss_sum / count)

    def in_order(self, split: SplitName) -> EvaluationBatches:
        """The images of a split in order, normalised, unaugmented."""
        size = self._training.evaluation_batch_size
        return EvaluationBatches(self.split(split), self.normalization, self._image_shape, size)

    def split(self, name: SplitName) -> Split:
        """A split as it is stored: images as uint8."""
        split: Split = getattr(self.data, name)
        return split

    def sizes(self) -> dict[str, int]:
        return {name: len(self.split(name)) for name in SPLITS}

    def digest(self) -> str:
        return self._digest

    def state_dict(self) -> dict[str, Any]:
        return self.batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches.load_state_dict(state)

    def __getstate__(self) -> dict[str, Any]:
        """What other processes need for the fitness: none of the images."""
        return {"options": self.options}


def _outputs(context: TaskContext, data: Data) -> int:
    """As many outputs as the architecture has, or else one a class."""
    classes = len(data.class_names)
    outputs = classes if context.num_outputs is None else context.num_outputs
    if classes > outputs:
        raise ConfigError(
            f"cannot train {context.architecture} on {context.dataset}",
            found=f"{classes} classes, an architecture with {outputs} outputs",
            allowed=f"up to {outputs} classes",
            next_step=f"--set architecture.{context.architecture}.num_outputs={classes}, "
            "where it has that setting (see `genophen plugins show`)",
        )
    if classes < outputs:
        context.notify(f"{context.dataset} has {classes} classes: {outputs - classes} outputs stay unused")
    return outputs

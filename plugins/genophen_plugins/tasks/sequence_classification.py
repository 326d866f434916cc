"""The task of giving each sequence its label, once it has been read."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

import genophen

Batch = tuple[Tensor, Tensor]


class SequenceClassificationOptions(genophen.Options):
    read: Literal["rows", "pixels", "permuted-pixels"] = Field(
        "rows",
        description="how images are read: row by row, pixel by pixel, or pixel by pixel in an order that is "
        "drawn once (of seed 0); without effect on data that are sequences",
    )


class SequenceClassification(genophen.Task):
    """Cross-entropy of the last step's outputs is the loss; the share of right answers is the score."""

    name = "sequence-classification"
    description = "the right class of each sequence, or of each image read step by step"
    Options: ClassVar[type[genophen.Options]] = SequenceClassificationOptions
    options: SequenceClassificationOptions
    measure = "accuracy"
    percent = True
    inputs = "sequences"
    over_dataset = True
    recurrent = True

    def setup(self, context: genophen.TaskContext) -> None:
        data = context.data
        if not isinstance(data, genophen.Data | genophen.SequenceData):
            raise genophen.ConfigError(
                f"cannot use the data set {context.dataset} for the task {self.name}",
                found="it has no labels",
                allowed="labelled images or sequences",
            )
        self._digest, self._device, self._generator = data.digest(), context.device, context.generator
        self._splits = {name: self._sequences(data, name) for name in ("train", "validation", "test")}
        self._symbols = len(data.symbols) if isinstance(data, genophen.SequenceData) else 0
        train = self._splits["train"].inputs
        self._mean, self._deviation = 0.0, 1.0
        if isinstance(data, genophen.Data):
            pixels = train.double()
            self._mean, self._deviation = float(pixels.mean()), float(pixels.std())
        self.input_shape = (self._symbols,) if train.dim() == 2 else tuple(train.shape[2:])
        self.num_outputs = len(data.class_names)
        self._batch_size = context.training.batch_size
        self._evaluation_size = context.training.evaluation_batch_size
        self.steps_per_round = max(1, len(self._splits["train"]) // self._batch_size)
        self._order, self._position = torch.empty(0, dtype=torch.int64), 0

    def _sequences(self, data: genophen.Data | genophen.SequenceData, name: str) -> genophen.Sequences:
        split = getattr(data, name)
        if isinstance(split, genophen.Split):
            images, labels = split.to(self._device).images, split.to(self._device).labels
            return genophen.Sequences(self._read(images), labels)
        return genophen.Sequences(split.inputs.to(self._device), split.labels.to(self._device))

    def _read(self, images: Tensor) -> Tensor:
        """Images, uint8 (N, C, H, W), as sequences of their rows (N, H, C W) or pixels (N, H W, C)."""
        by_place = images.permute(0, 2, 3, 1)  # (N, H, W, C)
        if self.options.read == "rows":
            return by_place.flatten(2)
        pixels = by_place.flatten(1, 2)
        if self.options.read == "pixels":
            return pixels
        return pixels[:, torch.randperm(pixels.shape[1], generator=torch.Generator().manual_seed(0))]

    def draw(self) -> Batch:
        """Sequences, float32 (N, T, F), and labels (N,), in an order that is drawn anew each time through."""
        train = self._splits["train"]
        if self._position + self._batch_size > len(self._order):
            self._order, self._position = torch.randperm(len(train), generator=self._generator), 0
        some = self._order[self._position : self._position + self._batch_size].to(self._device)
        self._position += self._batch_size
        return self._prepared(train.inputs[some]), train.labels[some]

    def _prepared(self, inputs: Tensor) -> Tensor:
        if inputs.dim() == 2:
            return genophen.symbol_vectors(inputs, self._symbols)
        return (inputs.float() - self._mean) / self._deviation

    def loss(self, phenotype: genophen.Phenotype, batch: Batch) -> Tensor:
        inputs, labels = batch
        return F.cross_entropy(phenotype.sequence(inputs)[0][:, -1], labels)

    def fitness(self, networks: genophen.Networks, batch: Batch) -> Tensor:
        """Minus the mean loss of each candidate, (P,)."""
        inputs, labels = batch
        logits = networks.sequence(inputs)[0][:, :, -1]  # (P, N, classes)
        each = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), reduction="none")
        return -each.view(len(logits), -1).mean(1)

    def evaluate(self, phenotype: genophen.Phenotype, split: str) -> genophen.Scores:
        sequences, total, right = self._splits[split], 0.0, 0
        for start in range(0, len(sequences), self._evaluation_size):
            inputs, labels = (
                each[start : start + self._evaluation_size] for each in (sequences.inputs, sequences.labels)
            )
            logits = phenotype.sequence(self._prepared(inputs))[0][:, -1]
            total += F.cross_entropy(logits, labels, reduction="sum").double().item()
            right += int((logits.argmax(1) == labels).sum())
        return genophen.Scores(right / len(sequences), total / len(sequences))

    def sizes(self) -> dict[str, int]:
        return {name: len(split) for name, split in self._splits.items()}

    def digest(self) -> str:
        return self._digest

    def state_dict(self) -> dict[str, Any]:
        return {"order": self._order, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order, self._position = state["order"], state["position"]

    def __getstate__(self) -> dict[str, Any]:
        """What other processes need for the fitness: none of the sequences."""
        return {"options": self.options}


@genophen.hookimpl
def register_tasks(register):  # type: ignore[no-untyped-def]
    register(SequenceClassification)

"""The task of predicting each symbol of a text from those before it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

import genophen


class NextTokenOptions(genophen.Options):
    steps: int = Field(
        64, ge=1, le=65_536, description="symbols of each line in a batch, over which gradients go back"
    )
    evaluation_lines: int = Field(
        32, ge=1, le=65_536, description="lines that the text is cut into where it is measured"
    )


class Batch(NamedTuple):
    """The next symbols of every line: inputs (N, T, V), targets (N, T), and whether lines begin."""

    inputs: Tensor
    targets: Tensor
    begins: bool


class NextToken(genophen.Task):
    """The training text is cut into as many lines as a batch has, which are read side by side.

    What the network carries goes from batch to batch, without its history; a round is the text once.
    """

    name = "next-token"
    description = "the next symbol of a text, at every symbol"
    Options: ClassVar[type[genophen.Options]] = NextTokenOptions
    options: NextTokenOptions
    measure = "bits per character"
    negated = True
    inputs = "symbols"
    over_dataset = True
    recurrent = True

    def setup(self, context: genophen.TaskContext) -> None:
        text = context.data
        if not isinstance(text, genophen.Text):
            raise genophen.ConfigError(
                f"cannot use the data set {context.dataset} for the task {self.name}",
                found="it is no text",
                allowed="a data set that gives a genophen.Text, such as characters",
            )
        self._digest, self._device = text.digest(), context.device
        self.symbols = text.symbols
        self.input_shape, self.num_outputs = (len(text.symbols),), len(text.symbols)
        wanted = {"train": context.training.batch_size}
        self._lines = {
            name: self._cut(getattr(text, name), wanted.get(name, self.options.evaluation_lines), name)
            for name in ("train", "validation", "test")
        }
        self.steps_per_round = math.ceil((self._lines["train"].shape[1] - 1) / self.options.steps)
        self._position, self._state = 0, None

    def _cut(self, text: Tensor, lines: int, split: str) -> Tensor:
        """The text as lines of one length, (lines, M / lines); what is left over at its end is dropped."""
        if len(text) < 2 * lines:
            raise genophen.ConfigError(
                f"cannot cut the {split} text into lines",
                found=f"{len(text)} symbols, {lines} lines",
                allowed="two symbols a line at least",
                next_step="lower training.batch_size or task.next-token.evaluation_lines, or use more text",
            )
        return text[: len(text) // lines * lines].view(lines, -1).to(self._device)

    def draw(self) -> Batch:
        """The next `steps` symbols of every training line."""
        lines = self._lines["train"]
        begins, start = self._position == 0, self._position
        stop = min(start + self.options.steps, lines.shape[1] - 1)
        self._position = 0 if stop == lines.shape[1] - 1 else stop
        return self._batch(lines, start, stop, begins)

    def _batch(self, lines: Tensor, start: int, stop: int, begins: bool) -> Batch:
        inputs = genophen.symbol_vectors(lines[:, start:stop], self.num_outputs)
        return Batch(inputs, lines[:, start + 1 : stop + 1], begins)

    def loss(self, phenotype: genophen.Phenotype, batch: Batch) -> Tensor:
        outputs, state = phenotype.sequence(batch.inputs, None if batch.begins else self._state)
        self._state = genophen.detached(state)
        return F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten())

    def fitness(self, networks: genophen.Networks, batch: Batch) -> Tensor:
        """Minus the mean loss of each candidate, (P,); every batch begins anew."""
        logits, _ = networks.sequence(batch.inputs)  # (P, N, T, V)
        targets = batch.targets.flatten().repeat(len(logits))
        each = F.cross_entropy(logits.flatten(0, 2), targets, reduction="none")
        return -each.view(len(logits), -1).mean(1)

    def evaluate(self, phenotype: genophen.Phenotype, split: str) -> genophen.Scores:
        total, count, state = 0.0, 0, None
        for batch in self._in_order(split):
            outputs, state = phenotype.sequence(batch.inputs, state)
            loss = F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), reduction="sum")
            total, count = total + loss.double().item(), count + batch.targets.numel()
        return genophen.Scores(-total / count / math.log(2), total / count)

    def _in_order(self, split: str) -> Iterator[Batch]:
        lines = self._lines[split]
        last = lines.shape[1] - 1
        for start in range(0, last, self.options.steps):
            yield self._batch(lines, start, min(start + self.options.steps, last), start == 0)

    def sizes(self) -> dict[str, int]:
        return {name: lines.numel() for name, lines in self._lines.items()}

    def digest(self) -> str:
        return self._digest

    def state_dict(self) -> dict[str, Any]:
        return {"position": self._position, "state": self._state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._position = state["position"]
        self._state = genophen.each_tensor(lambda tensor: tensor.to(self._device), state["state"])

    def __getstate__(self) -> dict[str, Any]:
        """What other processes need for the fitness: none of the text."""
        return {"options": self.options}


@genophen.hookimpl
def register_tasks(register):  # type: ignore[no-untyped-def]
    register(NextToken)

"""The smallest network for fast weights: one matrix between what is seen and what is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import mul
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import genophen


class FastMatrix(nn.Module):
    """y = W x, or tanh(W x), which is carried to the next step for a genotype to read."""

    def __init__(self, inputs: int, outputs: int, hidden: bool) -> None:
        super().__init__()
        self.weight, self._hidden = nn.Parameter(torch.zeros(outputs, inputs)), hidden

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        y = F.linear(x, self.weight)
        if not self._hidden:
            return y, None
        y = torch.tanh(y)
        return y, y


class FastWeightController(nn.Module):
    """y_t = W_t (x_t, 1), or V tanh(W_t (x_t, 1)). All memory is in what a genotype writes into W."""

    #: The tensors that change.
    fast_weights: ClassVar[tuple[str, ...]] = ("fast.weight",)

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fast = FastMatrix(inputs + 1, hidden or outputs, bool(hidden))
        if hidden:
            self.output = nn.Linear(hidden, outputs, bias=False)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Outputs (N, outputs), and what the hidden units did, for x (N, inputs)."""
        y, state = self.fast(torch.cat([x, torch.ones_like(x[:, :1])], 1), state)
        return (self.output(y) if hasattr(self, "output") else y), state

    @staticmethod
    def reads(x: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the matrix is multiplied by, in numbers."""
        return (*x, 1.0)

    @staticmethod
    def in_numbers(weights: Mapping[str, Any], ops: genophen.Arithmetic) -> Callable[..., Any]:
        """The same in numbers."""

        def act(x: tuple[Any, ...], state: Any) -> tuple[list[Any], Any]:
            seen = FastWeightController.reads(x)
            values = [genophen.added(map(mul, row, seen)) for row in weights["fast.weight"]]
            if "output.weight" not in weights:
                return values, None
            hidden = [ops.tanh(value) for value in values]
            return [genophen.added(map(mul, row, hidden)) for row in weights["output.weight"]], hidden

        return act


class FastWeightControllerOptions(genophen.Options):
    hidden: int = Field(
        0, ge=0, le=4096, description="units behind the matrix; 0: it gives the actions themselves"
    )


class FastWeightControllerArchitecture(genophen.Architecture):
    name = "fast-weight-controller"
    description = "one matrix from what is seen, and a one, to the actions or hidden units: for fast weights"
    Options: ClassVar[type[genophen.Options]] = FastWeightControllerOptions
    options: FastWeightControllerOptions
    recurrent = True

    def build(self) -> nn.Module:
        (inputs,), outputs = self.shapes()
        return FastWeightController(inputs, self.options.hidden, outputs)

    def expressed(self) -> list[str]:
        return ["fast.weight"]


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    register(FastWeightControllerArchitecture)

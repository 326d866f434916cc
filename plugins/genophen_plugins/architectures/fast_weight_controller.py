"""The smallest network for fast weights: one matrix between what is seen and what is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import mul
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import genophen


class FastMatrix(nn.Module):
    """y = W x; W is the genotype's. It carries no state of its own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return F.linear(x, self.weight), None


class FastWeightController(nn.Module):
    """y_t = W_t (x_t, 1). Where W stays as it is, a linear controller; all memory is in what is written."""

    #: The tensors that change.
    fast_weights: ClassVar[tuple[str, ...]] = ("fast.weight",)

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fast = FastMatrix(inputs + 1, outputs)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Outputs (N, outputs) and the state, which is the genotype's alone, for x (N, inputs)."""
        y, _ = self.fast(torch.cat([x, torch.ones_like(x[:, :1])], 1))
        return y, state

    @staticmethod
    def reads(x: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the matrix is multiplied by, in numbers."""
        return (*x, 1.0)

    @staticmethod
    def in_numbers(weights: Mapping[str, Any], ops: genophen.Arithmetic) -> Callable[..., Any]:
        """The same in numbers."""
        matrix = weights["fast.weight"]

        def act(x: tuple[Any, ...], state: None) -> tuple[list[Any], None]:
            seen = FastWeightController.reads(x)
            return [genophen.added(map(mul, row, seen)) for row in matrix], None

        return act


class FastWeightControllerArchitecture(genophen.Architecture):
    name = "fast-weight-controller"
    description = "one matrix from what is seen, and a one, to the actions: for fast weights"
    recurrent = True

    def build(self) -> nn.Module:
        (inputs,), outputs = self.shapes()
        return FastWeightController(inputs, outputs)

    def expressed(self) -> list[str]:
        return ["fast.weight"]


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    register(FastWeightControllerArchitecture)

"""A multilayer perceptron: a controller without memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from operator import mul
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

import genophen


class Perceptron(nn.Module):
    """Dense layers with tanh between them."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, outputs) for x (N, ...) of as many numbers as there are inputs."""
        x = x.flatten(1)  # (N, inputs)
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        outputs: Tensor = self.layers[-1](x)
        return outputs

    @staticmethod
    def respond(
        weights: Mapping[str, Any], x: Any, state: None, ops: genophen.Arithmetic
    ) -> tuple[Any, None]:
        """The same for many networks, weights (P, *shape), on inputs (P, E, F) of their own."""
        last = len(weights) // 2 - 1
        for i in range(last + 1):
            x = genophen.product(weights[f"layers.{i}.weight"], x) + weights[f"layers.{i}.bias"][:, None]
            x = ops.tanh(x) if i < last else x
        return x, None

    @staticmethod
    def in_numbers(weights: Mapping[str, Any], ops: genophen.Arithmetic) -> Callable[..., Any]:
        """The same of one network, in numbers."""
        *hidden, last = [
            list(zip(weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"], strict=True))
            for i in range(len(weights) // 2)
        ]
        tanh, added = ops.tanh, genophen.added

        def act(x: tuple[Any, ...], state: None) -> tuple[list[Any], None]:
            values: Any = x
            for rows in hidden:
                values = [tanh(added(map(mul, row, values)) + bias) for row, bias in rows]
            return [added(map(mul, row, values)) + bias for row, bias in last], None

        return act


class MLPOptions(genophen.Options):
    hidden: list[int] = Field([16], max_length=64, description="units of each hidden layer")


class MLP(genophen.Architecture):
    name = "mlp"
    description = "dense layers with tanh between them; takes and gives what the task has"
    Options: ClassVar[type[genophen.Options]] = MLPOptions
    options: MLPOptions

    def build(self) -> nn.Module:
        shape, outputs = self.shapes()
        return Perceptron([math.prod(shape), *self.options.hidden, outputs])

    def expressed(self) -> list[str]:
        return ["layers.*.weight"]


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    register(MLP)

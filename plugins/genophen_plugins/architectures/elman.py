"""A recurrent network of one hidden layer (Elman 1990): the controller that remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import mul
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

import genophen


class ElmanNetwork(nn.Module):
    """h_t = tanh(W_x x_t + W_h h_{t-1}), y_t = g W_y h_t, with biases where they are asked for."""

    def __init__(self, inputs: int, hidden: int, outputs: int, bias: bool, gain: float = 1.0) -> None:
        super().__init__()
        self._gain = gain
        self.input = nn.Linear(inputs, hidden, bias=bias)
        self.recurrent = nn.Linear(hidden, hidden, bias=False)
        self.output = nn.Linear(hidden, outputs, bias=bias)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (N, outputs) and the new state (N, hidden) for x (N, inputs); state None: zeros."""
        before = self.input(x)
        if state is not None:
            before = before + self.recurrent(state)
        state = torch.tanh(before)  # (N, hidden)
        return self._gained(self.output(state)), state

    def _gained(self, output: Any) -> Any:
        return output if self._gain == 1 else self._gain * output

    def respond(
        self, weights: Mapping[str, Any], x: Any, state: Any, ops: genophen.Arithmetic
    ) -> tuple[Any, Any]:
        """The same for many networks, weights (P, *shape), on inputs (P, E, F) of their own."""
        before = genophen.product(weights["input.weight"], x) + _row(weights, "input.bias")
        if state is not None:
            before = before + genophen.product(weights["recurrent.weight"], state)
        state = ops.tanh(before)  # (P, E, hidden)
        output = genophen.product(weights["output.weight"], state) + _row(weights, "output.bias")
        return self._gained(output), state

    def in_numbers(self, weights: Mapping[str, Any], ops: genophen.Arithmetic) -> Callable[..., Any]:
        """The same of one network, in numbers."""
        hidden, outputs = len(weights["recurrent.weight"]), len(weights["output.weight"])
        inner = [[*a, *b] for a, b in zip(weights["input.weight"], weights["recurrent.weight"], strict=True)]
        layer = list(zip(inner, weights.get("input.bias", [0.0] * hidden), strict=True))
        last = list(zip(weights["output.weight"], weights.get("output.bias", [0.0] * outputs), strict=True))
        zeros, tanh, added = [0.0] * hidden, ops.tanh, genophen.added

        def act(x: tuple[Any, ...], state: list[Any] | None) -> tuple[list[Any], list[Any]]:
            seen = (*x, *(state or zeros))
            state = [tanh(added(map(mul, row, seen)) + bias) for row, bias in layer]
            return [self._gained(added(map(mul, row, state)) + bias) for row, bias in last], state

        return act


def _row(weights: Mapping[str, Any], name: str) -> Any:
    """Biases (P, 1, units), or 0 where there are none."""
    return weights[name][:, None] if name in weights else 0.0


class ElmanOptions(genophen.Options):
    hidden: int = Field(3, ge=1, le=4096, description="units of the hidden layer")
    bias: bool = Field(False, description="whether the units have biases")
    output_gain: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="g, what the outputs are multiplied by: a search whose steps are as wide in all weights "
        "then reaches as much further in the last ones",
    )


class Elman(genophen.Architecture):
    name = "elman"
    description = "one hidden layer that sees its own last state; takes and gives what the task has"
    Options: ClassVar[type[genophen.Options]] = ElmanOptions
    options: ElmanOptions
    recurrent = True

    def build(self) -> nn.Module:
        (inputs,), outputs = self.shapes()
        return ElmanNetwork(inputs, self.options.hidden, outputs, self.options.bias, self.options.output_gain)

    def expressed(self) -> list[str]:
        return ["input.weight", "recurrent.weight", "output.weight"]


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    register(Elman)

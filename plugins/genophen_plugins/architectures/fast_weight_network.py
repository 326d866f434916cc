"""The network whose matrix a slow one rewrites while it runs."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import genophen


class FastWeightNetworkOptions(genophen.Options):
    hidden_size: int = Field(64, ge=1, le=65_536, description="numbers that the fast matrix reads and gives")


class FastLayer(nn.Module):
    """y = W q, with the query q = Q x; W is the genotype's. It carries no state of its own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(size, size, bias=False)
        self.weight = nn.Parameter(torch.zeros(size, size))

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return F.linear(self.query(x), self.weight), None


class FastWeightNetwork(nn.Module):
    """Maps a step (N, F) and a state to (N, O) and the state, which is the genotype's alone."""

    def __init__(self, inputs: int, size: int, outputs: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, size)
        self.fast = FastLayer(size)
        self.readout = nn.Linear(2 * size, outputs)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        x = self.embed(x)
        y, _ = self.fast(x)
        return self.readout(torch.cat([x, y], 1)), state

    def sequence(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        x = self.embed(x)  # (N, T, size)
        y, _ = genophen.scan(self.fast, x)
        return self.readout(torch.cat([x, y], 2)), state


class FastWeightArchitecture(genophen.Architecture):
    name = "fast-weight-network"
    description = "a dense layer, one matrix for fast weights, and a readout of both at every step"
    Options: ClassVar[type[genophen.Options]] = FastWeightNetworkOptions
    options: FastWeightNetworkOptions
    recurrent = True

    def build(self) -> nn.Module:
        (inputs, *_), outputs = self.shapes()
        return FastWeightNetwork(inputs, self.options.hidden_size, outputs)

    def expressed(self) -> list[str]:
        return ["fast.weight"]


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    register(FastWeightArchitecture)

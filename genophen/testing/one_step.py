"""Recurrent networks as plugin checks run them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class OneStep(nn.Module):
    """The first step of a recurrent network, called like any other network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, ...) to the outputs of the first step."""
        found = self.network(x, None)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(
                f"a step returned {type(found).__name__}: a recurrent network maps (x, state) to (y, state)"
            )
        outputs: Tensor = found[0]
        return outputs


class SmallCell(nn.RNNCellBase):
    """A recurrent cell of four inputs and four units for dynamic genotypes to write."""

    def __init__(self) -> None:
        super().__init__(4, 4, bias=True, num_chunks=1)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        """x (N, 4), state (N, 4) or None, to the output and the next state."""
        hidden = torch.zeros_like(x) if state is None else state
        from_x = F.linear(x, self.weight_ih) + self.bias_ih
        hidden = (from_x + F.linear(hidden, self.weight_hh) + self.bias_hh).tanh()
        return hidden, hidden

"""Recurrent cells whose gates stand in two matrices and one bias, for genotypes to write."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import genophen


class Cell(nn.RNNCellBase):
    """One recurrent layer: `weight_ih` (G H, F), `weight_hh` (G H, H) and `bias_ih` (G H,), gate below gate.

    Called with one step, x (N, F), or through `sequence` with all of them. Every gate of `weight_hh` starts
    orthogonal, and `weight_ih` with variance 1 / F.
    """

    gates: ClassVar[int]

    def __init__(self, input_size: int, hidden_size: int, layer_norm: bool = False) -> None:
        super().__init__(input_size, hidden_size, bias=False, num_chunks=self.gates)
        self.bias_ih = nn.Parameter(torch.zeros(self.gates * hidden_size))
        self.norm = GateNorm(self.gates, hidden_size) if layer_norm else None
        with torch.no_grad():
            nn.init.normal_(self.weight_ih, std=input_size**-0.5)
            for gate in self.weight_hh.chunk(self.gates):
                nn.init.orthogonal_(gate)

    @classmethod
    def drawn(
        cls, input_size: int, hidden_size: int, generator: torch.Generator, layer_norm: bool = False
    ) -> Self:
        """A cell whose initial values come from the generator alone."""
        with torch.random.fork_rng(devices=[]):  # modules draw from the global one as they are built
            cell = cls(input_size, hidden_size, layer_norm)
        cell.redraw(generator)
        return cell

    def redraw(self, generator: torch.Generator) -> None:
        """Draw the matrices' initial values again."""
        with torch.no_grad():
            self.weight_ih.normal_(std=self.input_size**-0.5, generator=generator)
            for gate in self.weight_hh.chunk(self.gates):
                nn.init.orthogonal_(gate, generator=generator)

    @abstractmethod
    def advance(self, from_x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step from the inputs' part of all gates, (N, G H), bias included: output (N, H), next state."""

    @abstractmethod
    def fused(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """All steps by torch's own kernel."""

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One step: x (N, F) to the output (N, H) and the next state."""
        return self.advance(F.linear(x, self.weight_ih) + self.bias_ih, state or self.begin(x))

    def sequence(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """All steps: x (N, T, F) to outputs (N, T, H) and the last state."""
        if not isinstance(self.weight_hh, Tensor):  # it is another one at each step
            return genophen.scan(self, x, state)
        state = state or self.begin(x[:, 0])
        if self.norm is None:
            return self.fused(x, state)
        from_x = F.linear(x, self.weight_ih, self.bias_ih)  # (N, T, G H), of all steps at once
        return genophen.scan(self.advance, from_x, state)

    def begin(self, x: Tensor) -> Any:
        """The state before the first step."""
        return (x.new_zeros(len(x), self.hidden_size),)

    def _tensors(self) -> list[Tensor]:
        """The weights as torch's kernels take them: with a second bias."""
        return [self.weight_ih, self.weight_hh, self.bias_ih, torch.zeros_like(self.bias_ih)]


class GateNorm(nn.Module):
    """Layer normalisation of each gate by itself, with its own gains and biases (Ha et al. 2016)."""

    def __init__(self, gates: int, hidden_size: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(gates, hidden_size))
        self.bias = nn.Parameter(torch.zeros(gates, hidden_size))

    def forward(self, gates: Tensor) -> Tensor:
        """(N, G H) to the same."""
        parts = gates.view(len(gates), *self.gain.shape)  # (N, G, H)
        return (F.layer_norm(parts, parts.shape[-1:]) * self.gain + self.bias).flatten(1)


class RNNCell(Cell):
    """h' = tanh(W x + U h + b) (Elman 1990). The state is (h,)."""

    gates = 1

    def advance(self, from_x: Tensor, state: Any) -> tuple[Tensor, Any]:
        gates = from_x + F.linear(state[0], self.weight_hh)
        hidden = (gates if self.norm is None else self.norm(gates)).tanh()
        return hidden, (hidden,)

    def fused(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs, last = torch.rnn_tanh(
            x, state[0][None], self._tensors(), True, 1, 0.0, self.training, False, True
        )
        return outputs, (last[0],)


class GRUCell(Cell):
    """Reset gate, update gate and candidate, in torch's order and form (Cho et al. 2014). The state is (h,).

    With layer normalisation the parts of x and of h are normalised each by itself.
    """

    gates = 3

    def __init__(self, input_size: int, hidden_size: int, layer_norm: bool = False) -> None:
        super().__init__(input_size, hidden_size, layer_norm)
        self.norm_hidden = GateNorm(self.gates, hidden_size) if layer_norm else None

    def advance(self, from_x: Tensor, state: Any) -> tuple[Tensor, Any]:
        (hidden,) = state
        from_h = F.linear(hidden, self.weight_hh)
        if self.norm is not None and self.norm_hidden is not None:
            from_x, from_h = self.norm(from_x), self.norm_hidden(from_h)
        (x_reset, x_update, x_new), (h_reset, h_update, h_new) = from_x.chunk(3, 1), from_h.chunk(3, 1)
        new = (x_new + (x_reset + h_reset).sigmoid() * h_new).tanh()
        hidden = new + (x_update + h_update).sigmoid() * (hidden - new)
        return hidden, (hidden,)

    def fused(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs, last = torch.gru(
            x, state[0][None], self._tensors(), True, 1, 0.0, self.training, False, True
        )
        return outputs, (last[0],)


class LSTMCell(Cell):
    """Input, forget, new and output gate in torch's order (Gers et al. 2000). The state is (h, c).

    The forget gate's bias starts at 1. With layer normalisation, c is normalised where h is made of it.
    """

    gates = 4

    def __init__(self, input_size: int, hidden_size: int, layer_norm: bool = False) -> None:
        super().__init__(input_size, hidden_size, layer_norm)
        self.norm_cell = nn.LayerNorm(hidden_size) if layer_norm else None
        with torch.no_grad():
            self.bias_ih.view(4, -1)[1] = 1.0

    def begin(self, x: Tensor) -> Any:
        return super().begin(x) * 2

    def advance(self, from_x: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden, cell = state
        gates = from_x + F.linear(hidden, self.weight_hh)
        if self.norm is not None:
            gates = self.norm(gates)
        write, keep, new, read = gates.chunk(4, 1)
        cell = keep.sigmoid() * cell + write.sigmoid() * new.tanh()
        hidden = read.sigmoid() * (cell if self.norm_cell is None else self.norm_cell(cell)).tanh()
        return hidden, (hidden, cell)

    def fused(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        start = [each[None] for each in state]
        outputs, hidden, cell = torch.lstm(
            x, start, self._tensors(), True, 1, 0.0, self.training, False, True
        )
        return outputs, (hidden[0], cell[0])

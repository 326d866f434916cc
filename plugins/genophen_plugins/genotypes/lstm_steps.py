"""What an LSTM's cell does beside its products, step by step, and its gradient, written out.

No graph is built: a hundred small operations a step would cost more than the products do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genophen_plugins.architectures.cells import LSTMCell

#: Where each of the gates write, keep, read and new stands in an `LSTMCell`: those through a sigmoid first.
ORDER = [0, 1, 3, 2]
#: torch's own.
_EPSILON = 1e-5


def norms_of(cell: LSTMCell) -> list[Tensor]:
    """The tensors of a cell's layer normalisation: gains (4, H), biases (4, H), those of c; or none."""
    if cell.norm is None or cell.norm_cell is None:
        return []
    return [cell.norm.gain, cell.norm.bias, cell.norm_cell.weight, cell.norm_cell.bias]


class LSTMSteps:
    """The steps of one cell on gates (4, N, H), one in front of the other in `ORDER`.

    With `keep` it remembers of every step what the gradient needs.
    """

    def __init__(self, norms: Sequence[Tensor], cell: Tensor, steps: int, keep: bool) -> None:
        """`norms`: of `norms_of`. `cell`: c before the first step, (N, H)."""
        self._norms = [*(each[ORDER][:, None] for each in norms[:2]), *norms[2:]]
        self._keep = keep
        kept, like = steps if keep else 1, cell.shape
        self.gates = cell.new_empty(kept, 4, *like)
        self._active = self.gates if not norms else cell.new_empty(kept, 4, *like)
        self._told = cell.new_empty(kept, *like)
        self._cells = [cell]
        self._gate_norms: list[tuple[Tensor, Tensor, Tensor]] = []
        self._cell_norms: list[tuple[Tensor, Tensor]] = []
        #: Gradients of the norms' tensors.
        self.of_norms = [torch.zeros_like(each) for each in self._norms]

    def at(self, step: int) -> int:
        """Where what is kept of a step stands."""
        return step if self._keep else 0

    def forward(self, step: int, hidden: Tensor) -> None:
        """One step from `gates[at(step)]`, which is overwritten; the output goes into `hidden`."""
        gates, active = self.gates[self.at(step)], self._active[self.at(step)]
        before, told = self._cells[-1], self._told[self.at(step)]
        if self._norms:
            gain, bias = self._norms[:2]
            plain, mean, scale = torch.native_layer_norm(gates, gates.shape[-1:], None, None, _EPSILON)
            torch.addcmul(bias, plain, gain, out=active)
            if self._keep:
                self._gate_norms.append((plain, mean, scale))
        active[:3].sigmoid_()
        active[3].tanh_()
        write, keep, read, new = active.unbind()
        cell = torch.mul(keep, before).addcmul_(write, new)
        if self._norms:
            gain, bias = self._norms[2:]
            normal, mean, scale = torch.native_layer_norm(cell, cell.shape[-1:], gain, bias, _EPSILON)
            torch.tanh(normal, out=told)
            if self._keep:
                self._cell_norms.append((mean, scale))
        else:
            torch.tanh(cell, out=told)
        torch.mul(read, told, out=hidden)
        if self._keep:
            self._cells.append(cell)
        else:
            self._cells[0] = cell

    @property
    def cell(self) -> Tensor:
        """c after the last step."""
        return self._cells[-1]

    def backward(self, step: int, of_hidden: Tensor, of_cell: Tensor, of_gates: Tensor) -> Tensor:
        """From the gradients of a step's h and c to that of its gates, in place, and of the c before."""
        write, keep, read, new = self._active[step].unbind()
        told, before = self._told[step], self._cells[step]
        of_told = torch.ops.aten.tanh_backward(of_hidden * read, told)
        if self._norms:
            weight, bias = self._norms[2:]
            cell, (mean, scale) = self._cells[step + 1], self._cell_norms[step]
            of_told, of_weight, of_bias = torch.ops.aten.native_layer_norm_backward(
                of_told, cell, cell.shape[-1:], mean, scale, weight, bias, [True, True, True]
            )
            self.of_norms[2] += of_weight
            self.of_norms[3] += of_bias
        of_cell = of_told.add_(of_cell)
        torch.mul(of_cell, new, out=of_gates[0])
        torch.mul(of_cell, before, out=of_gates[1])
        torch.mul(of_hidden, told, out=of_gates[2])
        torch.mul(of_cell, write, out=of_gates[3])
        active = self._active[step]
        torch.ops.aten.sigmoid_backward.grad_input(of_gates[:3], active[:3], grad_input=of_gates[:3])
        torch.ops.aten.tanh_backward.grad_input(of_gates[3], new, grad_input=of_gates[3])
        if self._norms:
            plain, mean, scale = self._gate_norms[step]
            self.of_norms[0] += (of_gates * plain).sum(1, keepdim=True)
            self.of_norms[1] += of_gates.sum(1, keepdim=True)
            of_gates *= self._norms[0]
            of_plain, _, _ = torch.ops.aten.native_layer_norm_backward(
                of_gates, self.gates[step], plain.shape[-1:], mean, scale, None, None, [True, False, False]
            )
            of_gates.copy_(of_plain)
        return of_cell.mul_(keep)

    def gradients_of_norms(self) -> list[Tensor]:
        """Those of `norms_of`, in a cell's own order."""
        return [*(each.squeeze(1)[ORDER] for each in self.of_norms[:2]), *self.of_norms[2:]]

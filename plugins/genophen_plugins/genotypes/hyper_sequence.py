"""All steps of an LSTM that a small LSTM rescales, and their gradient, written out.

The same equations as in `hyper_recurrent`, which takes one step after the other and leaves the gradient to
torch. Here the inputs' products of many steps are one, so are, going back, those that give the gradients of
the matrices, and gates stand one in front of the other, (4, N, H), so that each is contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from genophen_plugins.genotypes.lstm_steps import ORDER, LSTMSteps

#: Steps whose products are one: what they hold at a time stays within a processor's cache.
BLOCK = 16


@dataclass(frozen=True)
class Settings:
    #: Whether z comes from what the small cell gave a step before.
    before: bool
    #: Whether gradients are wanted.
    keep: bool
    #: Tensors of the main cell's layer normalisation.
    main_norms: int


class HyperSequence(Function):
    """x (N, T, F) and h, c of both cells to the outputs (N, T, H), c, and h and c of the small cell.

    Weights: weight_hh, weight_ih and bias_ih of the main cell and of the small one; z_weight, z_bias and
    rows_weight as in `HyperWriter`; the norms' tensors of the main and then the small cell.
    """

    @staticmethod
    def forward(
        ctx: Any, settings: Settings, x: Tensor, hidden: Tensor, cell: Tensor, small_hidden: Tensor,
        small_cell: Tensor, *weights: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        w = _Weights(weights)
        count, steps = x.shape[:2]
        units, size = hidden.shape[1], small_hidden.shape[1]
        keep = settings.keep
        norms = weights[9:]
        main = LSTMSteps(norms[: settings.main_norms], cell, steps, keep)
        small = LSTMSteps(norms[settings.main_norms :], small_cell, steps, keep)
        #: [h; small h] before each step and after the last.
        joined = x.new_empty(steps + 1, count, units + size)
        torch.cat([hidden, small_hidden], 1, out=joined[0])
        of_h = x.new_empty(steps if keep else 1, 4, count, units)
        z = x.new_empty(steps if keep else 1, count, w.z_weight.shape[0])
        rows = x.new_empty(12, count, units)
        block = min(BLOCK, steps)
        from_x = x.new_empty(4, block, count, units)
        small_from_x = x.new_empty(4, block, count, size)
        for start in range(0, steps, BLOCK):
            x_b = _steps_first(x[:, start : start + BLOCK])
            w.of_x(x_b, from_x)
            w.small_of_x(x_b, small_from_x)
            for t in range(start, min(start + BLOCK, steps)):
                at, read = main.at(t), joined[t]
                every = read.expand(4, -1, -1)
                torch.baddbmm(small_from_x[:, t - start], every, w.joined.mT, out=small.gates[at])
                small.forward(t, joined[t + 1, :, units:])
                source = (read if settings.before else joined[t + 1])[:, units:]
                torch.addmm(w.z_bias, source, w.z_weight.T, out=z[at])
                w.rows_of(z[at], out=rows)
                torch.bmm(every[:, :, :units], w.hidden.mT, out=of_h[at])
                gates = torch.add(rows[8:], w.bias, out=main.gates[at])
                gates.addcmul_(rows[:4], of_h[at]).addcmul_(rows[4:8], from_x[:, t - start])
                main.forward(t, joined[t + 1, :, :units])
        ctx.settings, ctx.parts = settings, (main, small, joined, of_h, z) if keep else None
        ctx.save_for_backward(x, *weights)
        outputs = joined[1:, :, :units].transpose(0, 1).clone(memory_format=torch.contiguous_format)
        # Copies: an output that its own graph holds on to would never be freed.
        return outputs, main.cell.clone(), joined[-1, :, units:].clone(), small.cell.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor, of_cell: Tensor, *of_small: Tensor) -> tuple[Any, ...]:
        x, *weights = ctx.saved_tensors
        w, settings = _Weights(weights), ctx.settings
        main, small, joined, of_h, z = ctx.parts
        count, steps, units = x.shape[0], x.shape[1], of_outputs.shape[2]
        of_small_hidden, of_small_cell = of_small
        of_hidden = torch.zeros_like(of_cell)
        g = _Weights([torch.zeros_like(each) for each in weights[:9]])
        of_x = torch.empty_like(x) if ctx.needs_input_grad[1] else None
        block = min(BLOCK, steps)
        rows, of_rows = (x.new_empty(parts, count, units) for parts in (8, 12))
        from_x, by_h, by_x = (x.new_empty(4, block, count, units) for _ in range(3))
        by_small = x.new_empty(4, block, count, small.cell.shape[1])
        by_z = x.new_empty(block, count, z.shape[2])
        for start in reversed(range(0, steps, BLOCK)):
            x_b = _steps_first(x[:, start : start + BLOCK])
            w.of_x(x_b, from_x)
            length = len(x_b)
            for t in reversed(range(start, start + length)):
                b = t - start
                of_hidden += of_outputs[:, t]
                of_gates = of_rows[8:]
                of_cell = main.backward(t, of_hidden, of_cell, of_gates)
                w.rows_of(z[t], out=rows)
                torch.mul(of_gates, of_h[t], out=of_rows[:4])
                torch.mul(of_gates, from_x[:, b], out=of_rows[4:8])
                torch.mul(of_gates, rows[:4], out=by_h[:, b])
                torch.mul(of_gates, rows[4:], out=by_x[:, b])
                g.bias += of_gates.sum(1, keepdim=True)
                by_z[b] = w.of_z(of_rows, z[t], g)
                of_source = by_z[b] @ w.z_weight
                if not settings.before:
                    of_small_hidden = of_small_hidden + of_source
                of_small_cell = small.backward(t, of_small_hidden, of_small_cell, by_small[:, b])
                of_joined = torch.bmm(by_small[:, b], w.joined).sum(0)
                of_hidden = torch.bmm(by_h[:, b], w.hidden).sum(0).add_(of_joined[:, :units])
                of_small_hidden = of_joined[:, units:]
                if settings.before:
                    of_small_hidden = of_small_hidden + of_source
            read, told = (joined[i : i + length].flatten(0, 1) for i in (start, start + 1))
            g.add_of_z(by_z[:length].flatten(0, 1), (read if settings.before else told)[:, units:])
            by_h_b, by_x_b, small_b = (each[:, :length].flatten(1, 2) for each in (by_h, by_x, by_small))
            g.add_of_gates(by_h_b, by_x_b, small_b, read, x_b.flatten(0, 1))
            if of_x is not None:
                back = torch.bmm(by_x_b, w.input).sum(0) + torch.bmm(small_b, w.small_input).sum(0)
                of_x[:, start : start + length] = back.view(length, count, -1).transpose(0, 1)
        states = (of_hidden, of_cell, of_small_hidden, of_small_cell)
        return None, of_x, *states, *g.unpacked(), *main.gradients_of_norms(), *small.gradients_of_norms()


def _steps_first(x: Tensor) -> Tensor:
    return x.transpose(0, 1).contiguous()  # (B, N, F)


class _Weights:
    """The tensors with their gates apart, (4, H, F), in `ORDER`; or, as zeros, places for their gradients."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        of_h, of_x, bias, small_of_h, small_of_x, small_bias, z_weight, z_bias, rows = weights[:9]
        self._units, self._z_biases = of_h.shape[1], len(z_bias)
        self.hidden, self.input, self.bias = _gates(of_h), _gates(of_x), _gates(bias[:, None]).mT
        small_input = _gates(small_of_x)  # of [h; x]
        self.joined = torch.cat([small_input[:, :, : self._units], _gates(small_of_h)], 2)  # of [h; small h]
        self.small_input = small_input[:, :, self._units :].contiguous()
        self.small_bias = _gates(small_bias[:, None]).mT
        self.rows = _parts(rows)  # (12, N_z, H)
        dim = rows.shape[1]
        self.z_weight = _parts(z_weight.unflatten(0, (-1, dim))).flatten(0, 1)
        z_bias = torch.cat([z_bias, z_bias.new_zeros(len(z_weight) - len(z_bias))])  # z_b has none
        self.z_bias = _parts(z_bias.view(-1, dim)).flatten()

    def of_x(self, x: Tensor, out: Tensor) -> None:
        """x (B, N, F) times weight_ih, into `out` (4, at least B, N, H)."""
        into = out[:, : len(x)].flatten(1, 2)
        torch.bmm(x.flatten(0, 1).expand(4, -1, -1), self.input.mT, out=into)

    def small_of_x(self, x: Tensor, out: Tensor) -> None:
        """The same of the small cell, its bias included."""
        into = out[:, : len(x)].flatten(1, 2)
        torch.baddbmm(self.small_bias, x.flatten(0, 1).expand(4, -1, -1), self.small_input.mT, out=into)

    def rows_of(self, z: Tensor, out: Tensor) -> None:
        """From z's (N, 12 N_z) to as many parts' rows as `out` (parts, N, H) takes."""
        parts = _by_part(z, self.rows)[: len(out)]
        torch.bmm(parts, self.rows[: len(out)], out=out)

    def of_z(self, of_rows: Tensor, z: Tensor, gradients: _Weights) -> Tensor:
        """The gradient of z's (N, 12 N_z) from that of all rows (12, N, H); that of `rows` is added."""
        gradients.rows.baddbmm_(_by_part(z, self.rows).mT, of_rows)
        return torch.bmm(of_rows, self.rows.mT).transpose(0, 1).flatten(1)

    def add_of_z(self, of_z: Tensor, source: Tensor) -> None:
        """Add the gradients that come from those of z's (B N, 12 N_z), which are made of `source`."""
        self.z_weight.addmm_(of_z.T, source)
        self.z_bias += of_z.sum(0)

    def add_of_gates(self, by_h: Tensor, by_x: Tensor, small: Tensor, read: Tensor, x: Tensor) -> None:
        """Add those from the products with h and with x and from the small cell's gates, (4, B N, H).

        `read` (B N, H + small H) and `x` (B N, F) are what went into them.
        """
        self.hidden += torch.matmul(by_h.mT, read[:, : self._units])
        self.input += torch.matmul(by_x.mT, x)
        self.joined += torch.matmul(small.mT, read)
        self.small_input += torch.matmul(small.mT, x)
        self.small_bias += small.sum(1, keepdim=True)

    def unpacked(self) -> list[Tensor]:
        """The tensors as they were given."""
        small_input = torch.cat([self.joined[:, :, : self._units], self.small_input], 2)
        dim = self.rows.shape[1]
        z_weight = _parts(self.z_weight.unflatten(0, (-1, dim))).flatten(0, 1)
        return [
            _ungated(self.hidden),
            _ungated(self.input),
            _ungated(self.bias.mT).flatten(),
            _ungated(self.joined[:, :, self._units :]),
            _ungated(small_input),
            _ungated(self.small_bias.mT).flatten(),
            z_weight,
            _parts(self.z_bias.view(-1, dim)).flatten()[: self._z_biases],
            _parts(self.rows),
        ]


def _gates(weight: Tensor) -> Tensor:
    """(4 H, F) to (4, H, F) in `ORDER`."""
    return weight.unflatten(0, (4, -1))[ORDER]


def _ungated(weight: Tensor) -> Tensor:
    return weight[ORDER].flatten(0, 1)


def _parts(rows: Tensor) -> Tensor:
    """The gates of each part, (12, ...), in `ORDER`, or back: two of them change places."""
    return rows.unflatten(0, (3, 4))[:, ORDER].flatten(0, 1)


def _by_part(z: Tensor, rows: Tensor) -> Tensor:
    return z.view(len(z), *rows.shape[:2]).transpose(0, 1)  # (12, N, N_z)

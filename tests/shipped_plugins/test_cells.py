"""Recurrent cells: torch's own equations, a step at a time or all at once."""

from __future__ import annotations

import pytest
import torch
from genophen_plugins.architectures.cells import Cell, GRUCell, LSTMCell, RNNCell
from torch import nn

import genophen

KINDS = [(RNNCell, nn.RNN), (GRUCell, nn.GRU), (LSTMCell, nn.LSTM)]


def sequences() -> torch.Tensor:
    return torch.randn(3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("cell", "reference"), KINDS)
def test_a_cell_gives_what_torchs_layer_gives(cell: type[Cell], reference: type[nn.RNNBase]) -> None:
    torch.manual_seed(0)
    own, torchs = cell(5, 7).double(), reference(5, 7, batch_first=True).double()
    with torch.no_grad():
        torchs.weight_ih_l0.copy_(own.weight_ih)
        torchs.weight_hh_l0.copy_(own.weight_hh)
        torchs.bias_ih_l0.copy_(own.bias_ih)
        torchs.bias_hh_l0.zero_()
    expected, _ = torchs(sequences())
    for outputs, _ in (own.sequence(sequences()), genophen.scan(own, sequences())):
        torch.testing.assert_close(outputs, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("cell", [RNNCell, GRUCell, LSTMCell])
def test_a_sequence_in_two_parts_is_the_sequence(cell: type[Cell], layer_norm: bool) -> None:
    torch.manual_seed(0)
    own = cell(5, 7, layer_norm).double()
    whole, _ = own.sequence(sequences())
    first, state = own.sequence(sequences()[:, :2])
    second, _ = genophen.scan(own, sequences()[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-12, rtol=0)


def test_layer_normalisation_is_of_each_gate_by_itself_and_of_the_cell() -> None:
    torch.manual_seed(0)
    own = LSTMCell(5, 7, layer_norm=True).double()
    assert own.norm is not None
    assert own.norm_cell is not None
    x, hidden, memory = (torch.randn(2, n, dtype=torch.float64) for n in (5, 7, 7))
    output, (_, after) = own(x, (hidden, memory))

    gates = x @ own.weight_ih.T + hidden @ own.weight_hh.T + own.bias_ih  # (2, 28)
    norm = nn.LayerNorm(7, dtype=torch.float64)
    write, keep, new, read = (norm(gates[:, 7 * g : 7 * g + 7]) for g in range(4))
    memory = keep.sigmoid() * memory + write.sigmoid() * new.tanh()
    torch.testing.assert_close(after, memory, atol=1e-12, rtol=0)
    torch.testing.assert_close(output, read.sigmoid() * norm(memory).tanh(), atol=1e-12, rtol=0)


def test_the_forget_gate_starts_open() -> None:
    assert LSTMCell(2, 3).bias_ih.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]

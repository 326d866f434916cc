"""Recurrent networks: layers of one kind of cell and a dense readout at every step."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, ClassVar, cast

from pydantic import Field
from torch import Tensor, nn

import genophen
from genophen_plugins.architectures.cells import Cell, GRUCell, LSTMCell, RNNCell


class RecurrentOptions(genophen.Options):
    hidden_size: int = Field(128, ge=1, le=65_536, description="units in each layer")
    num_layers: int = Field(1, ge=1, le=64, description="recurrent layers, one on top of the other")
    layer_norm: bool = Field(False, description="layer normalisation of each gate (Ba et al. 2016)")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of zeros in what each layer gives to the next and to the readout"
    )
    vocabulary_size: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="symbols that are read and told; 0: inputs and outputs as the task has them",
    )


class RecurrentNetwork(nn.Module):
    """Maps a step (N, F) and a state to (N, O) and the next state; `sequence` maps (N, T, F) to (N, T, O).

    The state is a tuple of the layers' own.
    """

    def __init__(self, cells: list[Cell], num_outputs: int, dropout: float) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(cells[-1].hidden_size, num_outputs)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self._run(x, state, whole=False)

    def sequence(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self._run(x, state, whole=True)

    def _run(self, x: Tensor, state: Any, whole: bool) -> tuple[Tensor, Any]:
        states = []
        for index, cell in enumerate(cast("Iterable[Cell]", self.cells)):
            run = cell.sequence if whole else cell
            x, after = run(x, None if state is None else state[index])
            x = self.dropout(x)
            states.append(after)
        return self.readout(x), tuple(states)


class Recurrent(genophen.Architecture):
    """Recurrent layers whose gates are expressed; inputs and outputs are as the task has them."""

    Options: ClassVar[type[genophen.Options]] = RecurrentOptions
    options: RecurrentOptions
    recurrent = True
    #: The kind of its layers.
    cell: ClassVar[type[Cell]]

    def __init__(self, options: genophen.Options | None = None) -> None:
        super().__init__(options)
        if symbols := self.options.vocabulary_size:
            self.input_shape, self.num_outputs = (symbols,), symbols

    def build(self) -> nn.Module:
        (input_shape, num_outputs), options = self.shapes(), self.options
        sizes = [input_shape[0], *[options.hidden_size] * options.num_layers]
        cells = [self.cell(inputs, outputs, options.layer_norm) for inputs, outputs in pairwise(sizes)]
        return RecurrentNetwork(cells, num_outputs, options.dropout)

    def expressed(self) -> list[str]:
        return ["cells.*.weight_*"]


class RNN(Recurrent):
    name = "rnn"
    description = "Elman's recurrent network (1990), tanh"
    cell = RNNCell


class GRU(Recurrent):
    name = "gru"
    description = "gated recurrent units (Cho et al. 2014)"
    cell = GRUCell


class LSTM(Recurrent):
    name = "lstm"
    description = (
        "long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997, Gers et al. 2000)"
    )
    cell = LSTMCell


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    for cls in (RNN, GRU, LSTM):
        register(cls)

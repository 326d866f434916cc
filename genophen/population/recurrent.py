"""Recurrent layers of many candidates at once: one step of all of them is a few large products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genophen.population.layers import linear

#: What a layer carries through time: the hidden state and, in an LSTM, the cell's.
State = tuple[Tensor, ...]


def recurrent(module: Any, own: Mapping[str, Tensor], x: Tensor, state: Any, count: int) -> Any:
    """Output and last state of `nn.RNN`, `nn.GRU` or `nn.LSTM` with weights of each candidate's own.

    x: (P, T, N, F), or (P, N, T, F) where the module has its batch first. state: None, (P, L, N, H), or a
    pair of them; L: layers times directions. None is returned where the module is of a kind not written here.
    """
    if x.dim() != 4 or getattr(module, "proj_size", None):
        return None
    x = x.transpose(1, 2) if module.batch_first else x  # (P, T, N, F)
    first = () if state is None else state if isinstance(state, tuple) else (state,)
    step, parts = _step_of(module), 2 if isinstance(module, nn.LSTM) else 1
    directions = 2 if module.bidirectional else 1
    last: list[State] = []
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            suffix = f"_l{layer}" + ("_reverse" if direction else "")
            weights = {n: _own(module, own, n + suffix, count) for n in _NAMES}
            start = tuple(each[:, len(last)] for each in first) or (_zeros(x, module, parts))
            inputs = x.flip(1) if direction else x
            output, end = _through_time(step, inputs, start, weights)
            outputs.append(output.flip(1) if direction else output)
            last.append(end)
        x = torch.cat(outputs, 3)  # (P, T, N, directions H)
    ends = tuple(torch.stack(each, 1) for each in zip(*last, strict=True))  # (P, L, N, H)
    return x.transpose(1, 2) if module.batch_first else x, ends if parts == 2 else ends[0]


def cell(module: Any, own: Mapping[str, Tensor], x: Tensor, state: Any, count: int) -> Any:
    """The next state of `nn.RNNCell`, `nn.GRUCell` or `nn.LSTMCell`; x (P, N, F), state None or (P, N, H)."""
    if x.dim() != 3:
        return None
    pair = isinstance(module, nn.LSTMCell)
    start = _zeros(x[:, None], module, 2 if pair else 1) if state is None else state
    weights = {name: _own(module, own, name, count) for name in _NAMES}
    gates = linear(x, *_pair(weights, "ih"))
    after = _step_of(module)(gates, start if isinstance(start, tuple) else (start,), weights)
    return after if pair else after[0]


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
Weights = Mapping[str, Tensor | None]


def _own(module: Any, own: Mapping[str, Tensor], name: str, count: int) -> Tensor | None:
    """A weight of every candidate, (P, ...), its own or the module's; None where there is none."""
    value: Tensor | None = own.get(name, getattr(module, name, None))
    return value if value is None or name in own else value.expand(count, *value.shape)


def _pair(weights: Weights, kind: str) -> tuple[Tensor, Tensor | None]:
    weight = weights[f"weight_{kind}"]
    assert weight is not None
    return weight, weights[f"bias_{kind}"]


def _zeros(x: Tensor, module: Any, parts: int) -> State:
    return (x.new_zeros(x.shape[0], x.shape[2], module.hidden_size),) * parts


def _through_time(
    step: Callable[[Tensor, State, Weights], State], x: Tensor, state: State, weights: Weights
) -> tuple[Tensor, State]:
    """Hidden states (P, T, N, H) of one layer in one direction, and the last state."""
    gates = linear(x, *_pair(weights, "ih"))  # (P, T, N, gates), those of all times at once
    hidden = []
    for t in range(x.shape[1]):
        state = step(gates[:, t], state, weights)
        hidden.append(state[0])
    return torch.stack(hidden, 1), state


def _step_of(module: Any) -> Callable[[Tensor, State, Weights], State]:
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        return _lstm
    if isinstance(module, nn.GRU | nn.GRUCell):
        return _gru
    activation = torch.tanh if module.nonlinearity == "tanh" else torch.relu

    def elman(gates: Tensor, state: State, weights: Weights) -> State:
        return (activation(gates + linear(state[0], *_pair(weights, "hh"))),)

    return elman


def _lstm(gates: Tensor, state: State, weights: Weights) -> State:
    hidden, memory = state
    take, forget, new, give = (gates + linear(hidden, *_pair(weights, "hh"))).chunk(4, -1)
    memory = forget.sigmoid() * memory + take.sigmoid() * new.tanh()
    return give.sigmoid() * memory.tanh(), memory


def _gru(gates: Tensor, state: State, weights: Weights) -> State:
    of_input = gates.chunk(3, -1)
    of_hidden = linear(state[0], *_pair(weights, "hh")).chunk(3, -1)
    reset, keep = ((a + b).sigmoid() for a, b in zip(of_input[:2], of_hidden[:2], strict=True))
    new = (of_input[2] + reset * of_hidden[2]).tanh()
    return (new + keep * (state[0] - new),)

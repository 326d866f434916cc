"""Modules with weights of each candidate's own, all candidates at once where that is written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from genophen.population.attention import attention, encoder, encoder_layer
from genophen.population.layers import CONVOLUTIONS, convolution, linear, normalization
from genophen.population.nested import Varying
from genophen.population.recurrent import cell, recurrent

_NORMALIZATIONS = {nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm}
_RECURRENT = {nn.RNN, nn.GRU, nn.LSTM}
_CELLS = {nn.RNNCell, nn.GRUCell, nn.LSTMCell}
#: Those that are written here for inputs of each candidate's own, too, whatever their weights.
WHOLE = _RECURRENT | _CELLS | {nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder}


def with_own_weights(
    module: Any, own: Mapping[str, Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any], count: int
) -> Any:
    """The output with its tensors stacked, (P, ...), of P = `count` candidates; None: not written here.

    `own`: the module's parameters that vary, (P, ...) by name. Arguments may hold `Varying`s.
    """
    kind = type(module)
    if kind is nn.MultiheadAttention:
        return _attention(module, own, args, dict(kwargs), count)
    if kind in _RECURRENT | _CELLS:
        state = args[1] if len(args) == 2 else None
        if kwargs or len(args) not in (1, 2):
            return None
        x, carried = _stacked(args[0], count), _state(state, count)
        return (recurrent if kind in _RECURRENT else cell)(module, own, x, carried, count)
    if len(args) != 1 or kwargs or not isinstance(args[0], Varying | Tensor):
        return None
    return _of_one_input(module, own, _stacked(args[0], count))


def _of_one_input(module: Any, own: Mapping[str, Tensor], x: Tensor) -> Any:
    kind, weight = type(module), own.get("weight")
    found = None
    if kind in CONVOLUTIONS and weight is not None:
        axes = 3 + len(module.kernel_size)  # P, N, C and positions
        if module.padding_mode == "zeros" and x.dim() == axes:
            found = convolution(x, weight, own.get("bias", module.bias), module)
    elif kind is nn.Linear and weight is not None:
        found = linear(x, weight, own.get("bias", module.bias))
    elif kind in _NORMALIZATIONS and x.dim() >= 3:
        found = normalization(x, own, module)
    elif kind is nn.Embedding and module.max_norm is None and x.dim() >= 2:
        found = _embedding(x, own["weight"])
    elif kind is nn.TransformerEncoderLayer:
        found = encoder_layer(module, own, x)
    elif kind is nn.TransformerEncoder:
        found = encoder(module, own, x)
    return found


def _embedding(indices: Tensor, tables: Tensor) -> Tensor:
    """Candidate p's vectors, (P, ..., E), of indices (P, ...) into its own of the tables (P, V, E)."""
    count, size = tables.shape[:2]
    first = size * indices.new_ones(count).cumsum(0).sub(1).view(-1, *[1] * (indices.dim() - 1))
    return F.embedding(indices + first, tables.flatten(0, 1))


def _attention(
    module: nn.MultiheadAttention,
    own: Mapping[str, Tensor],
    args: tuple[Any, ...],
    settings: dict[str, Any],
    count: int,
) -> Any:
    alike = [args[0] is arg or _same(args[0], arg) for arg in args[1:]] if args else []
    weights_too = settings.pop("need_weights", True)
    average = settings.pop("average_attn_weights", True)
    if (
        len(args) != 3
        or not all(alike)
        or any(value is not None and value is not False for value in settings.values())
    ):
        return None
    return attention(module, own, _stacked(args[0], count), weights_too, average)


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, Varying) and isinstance(right, Varying) and left.stacked is right.stacked


def _stacked(value: Any, count: int) -> Tensor:
    """A tensor for every candidate, (P, ...): its own, or one that all share, without a copy."""
    tensor: Tensor = value.stacked if isinstance(value, Varying) else value.expand(count, *value.shape)
    return tensor


def _state(state: Any, count: int) -> Any:
    if isinstance(state, tuple | list):
        return tuple(_stacked(each, count) for each in state)
    return None if state is None else _stacked(state, count)

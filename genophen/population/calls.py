"""One operation of a network, done for many candidates: all at once where that is known to be the same."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn import functional as F

from genophen.population.layers import conv2d, linear, max_of_tiles

#: Modules and functions that, in eval mode, treat each image of a batch (N, C, H, W) by itself.
_IMAGEWISE = {
    nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d,
}  # fmt: skip
#: Those of them that treat each channel by itself, and alike.
_CHANNELWISE = {
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, F.max_pool2d, F.avg_pool2d,
    F.adaptive_avg_pool2d,
}  # fmt: skip
#: Those that treat each number by itself.
_ELEMENTWISE = {
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout,
    nn.Dropout2d, F.relu, F.leaky_relu, F.elu, F.gelu, F.silu, torch.relu, torch.tanh, torch.sigmoid,
    Tensor.relu, Tensor.tanh, Tensor.sigmoid,
}  # fmt: skip
_ARITHMETIC = {
    operator.add, operator.sub, operator.mul, torch.add, torch.sub, torch.mul, Tensor.add, Tensor.sub,
    Tensor.mul,
}  # fmt: skip

#: The settings of max pooling in their order, and what they are by default.
_POOLING = {
    "kernel_size": None, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False,
    "return_indices": False,
}  # fmt: skip


class CannotFoldError(Exception):
    """The network cannot be run for many candidates at once: it runs for one after the other instead."""


@dataclass(frozen=True)
class Varying:
    """A tensor that differs from candidate to candidate, (P, ...)."""

    stacked: Tensor


def call_for_all(
    call: Callable[..., Any], own: Mapping[str, Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """What a module or function gives for every candidate: a `Varying`, or a value equal for all.

    `own`: the module's parameters that vary, (P, ...) by name. Arguments may hold `Varying`s.
    """
    if not own and not _holds_varying((args, dict(kwargs))):
        return call(*args, **kwargs)  # on sizes, say, that no candidate changes
    stacked = _with_own_weights(call, own, args, kwargs) if own else _without(call, args, kwargs)
    return _one_by_one(call, own, args, kwargs) if stacked is None else Varying(stacked)


def _with_own_weights(
    module: Any, own: Mapping[str, Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor | None:
    """A convolution or dense layer with weights of each candidate's own; None for anything else."""
    if len(args) != 1 or kwargs or "weight" not in own:
        return None
    weight, bias = own["weight"], own.get("bias", module.bias if hasattr(module, "bias") else None)
    x = args[0].stacked if isinstance(args[0], Varying) else args[0].expand(len(weight), *args[0].shape)
    if type(module) is nn.Conv2d and module.padding_mode == "zeros" and x.dim() == 5:
        return conv2d(x, weight, bias, module)
    if type(module) is nn.Linear and x.dim() == 3:
        return linear(x, weight, bias)
    return None


def _without(call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """An operation whose weights are shared, on all candidates' images as on one large batch."""
    if not args or not isinstance(args[0], Varying) or _holds_varying((args[1:], dict(kwargs))):
        return _arithmetic(call, args, kwargs)
    x, rest = args[0].stacked, args[1:]
    kind = type(call) if isinstance(call, nn.Module) else call
    if kind in _ELEMENTWISE or (kind is nn.Linear and x.dim() >= 2):
        return _tensor(call(x, *rest, **kwargs))
    if kind in _IMAGEWISE and x.dim() == 5:
        return _imagewise(call, kind, x, rest, kwargs)
    if _flattens_images(call, rest, kwargs) and x.dim() > 2:
        return x.flatten(2)
    return _arithmetic(call, args, kwargs)


def _imagewise(
    call: Any, kind: Any, x: Tensor, rest: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor | None:
    """An operation on each image by itself, on the candidates' images x (P, N, C, H, W)."""
    if x.device.type == "cpu" and (tile := _tile(call, rest, kwargs)):
        return max_of_tiles(x, tile)
    if kind in _CHANNELWISE and x.stride(0) == 1:
        # Candidates that lie next to each other in memory are as good as channels, and need no copy.
        channels = x.permute(2, 1, 0, 3, 4)  # (C, N, P, H, W)
        output = _tensor(call(channels.flatten(0, 1), *rest, **kwargs))
        return None if output is None else output.unflatten(0, channels.shape[:2]).permute(2, 1, 0, 3, 4)
    output = _tensor(call(x.flatten(0, 1), *rest, **kwargs))
    return None if output is None else output.unflatten(0, x.shape[:2])


def _tile(call: Any, rest: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of the tiles of which a pooling takes the largest numbers; None for anything else."""
    if type(call) is nn.MaxPool2d and not rest and not kwargs:
        settings = {name: getattr(call, name) for name in _POOLING}
    elif call is F.max_pool2d:
        settings = {**_POOLING, **dict(zip(_POOLING, rest, strict=False)), **kwargs}
    else:
        return None
    size = _pair(settings["kernel_size"])
    steps = size if settings["stride"] is None else _pair(settings["stride"])
    tiled = steps == size and _pair(settings["padding"]) == (0, 0) and _pair(settings["dilation"]) == (1, 1)
    return size if tiled and not (settings["ceil_mode"] or settings["return_indices"]) else None


def _pair(size: Any) -> Any:
    """Height and width, from a pair or from one number for both."""
    return (size, size) if isinstance(size, int) else tuple(size) * (2 // len(size))


def _flattens_images(call: Any, rest: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    if isinstance(call, nn.Flatten):
        return (call.start_dim, call.end_dim) == (1, -1)
    return call in (torch.flatten, Tensor.flatten) and rest == (1,) and not kwargs


def _arithmetic(call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """A sum, difference or product of two operands whose axes meet the same way for each candidate."""
    if call not in _ARITHMETIC or len(args) != 2 or kwargs:
        return None
    ranks = [_rank(arg) for arg in args]
    varying = [rank for arg, rank in zip(args, ranks, strict=True) if isinstance(arg, Varying)]
    if None in ranks or not varying or any(rank != max(ranks) for rank in varying):  # type: ignore[type-var]
        return None
    left, right = (arg.stacked if isinstance(arg, Varying) else arg for arg in args)
    return _tensor(call(left, right))


def _rank(arg: object) -> int | None:
    """Axes of an operand for one candidate."""
    if isinstance(arg, Varying):
        return arg.stacked.dim() - 1
    if isinstance(arg, Tensor):
        return arg.dim()
    return 0 if isinstance(arg, int | float) else None


def _one_by_one(
    call: Callable[..., Any], own: Mapping[str, Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """The operation for each candidate by itself."""
    found: list[Varying] = []
    _visit((args, kwargs), found.append)
    count = len(next(iter(own.values()))) if own else len(found[0].stacked)
    outputs = []
    for p in range(count):
        args_p, kwargs_p = _of_candidate((args, dict(kwargs)), p)
        if isinstance(call, nn.Module):
            # Copies of the buffers, so that no candidate sees what another one may have written there.
            buffers = {name: buffer.clone() for name, buffer in call.named_buffers()}
            state = {**{name: stack[p] for name, stack in own.items()}, **buffers}
            outputs.append(functional_call(call, state, args_p, kwargs_p, tie_weights=False))
        else:
            outputs.append(call(*args_p, **kwargs_p))
    if all(isinstance(output, Tensor) for output in outputs):
        return Varying(torch.stack(outputs))
    if any(isinstance(output, Tensor) or output != outputs[0] for output in outputs):
        raise CannotFoldError("an operation gives neither one tensor nor one value for all candidates")
    return outputs[0]


def _of_candidate(value: Any, p: int) -> Any:
    return fx.node.map_aggregate(
        value, lambda item: _slice(item.stacked, p) if isinstance(item, Varying) else item
    )


def _slice(stacked: Tensor, p: int) -> Tensor:
    """Candidate p's own tensor, in an order in memory that any network's code may meet (`x.view(n, -1)`)."""
    own = stacked[p]
    usual = own.is_contiguous() or (own.dim() == 4 and own.is_contiguous(memory_format=torch.channels_last))
    return own if usual else own.contiguous()


def _visit(value: Any, see: Callable[[Varying], object]) -> None:
    fx.node.map_aggregate(value, lambda item: see(item) if isinstance(item, Varying) else None)


def _holds_varying(value: Any) -> bool:
    found: list[Varying] = []
    _visit(value, found.append)
    return bool(found)


def _tensor(output: object) -> Tensor | None:
    return output if isinstance(output, Tensor) else None

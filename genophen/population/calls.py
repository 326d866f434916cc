"""One operation of a network, done for many candidates: all at once where that is known to be the same."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genophen.population.alone import with_copied_buffers, with_numbers
from genophen.population.layers import Windows, max_of_windows
from genophen.population.modules import WHOLE, with_own_weights
from genophen.population.nested import (
    Varying,
    in_usual_order,
    items,
    mapped,
    of_candidate,
    stacked,
    varying_in,
)

#: Modules and functions that, in eval mode, treat each example of a batch by itself, and the axes of a batch.
_EXAMPLEWISE: dict[Any, int] = {
    nn.Conv1d: 3, nn.Conv2d: 4, nn.Conv3d: 5, nn.ConvTranspose1d: 3, nn.ConvTranspose2d: 4,
    nn.ConvTranspose3d: 5, nn.BatchNorm2d: 4, nn.BatchNorm3d: 5, nn.MaxPool1d: 3, nn.MaxPool2d: 4,
    nn.MaxPool3d: 5, nn.AvgPool1d: 3, nn.AvgPool2d: 4, nn.AvgPool3d: 5, nn.AdaptiveAvgPool1d: 3,
    nn.AdaptiveAvgPool2d: 4, nn.AdaptiveAvgPool3d: 5, nn.AdaptiveMaxPool2d: 4, F.max_pool2d: 4,
    F.avg_pool2d: 4, F.adaptive_avg_pool2d: 4,
}  # fmt: skip
#: Those that do so whatever comes behind a batch's channels.
_ANY_AXES = {nn.GroupNorm, nn.BatchNorm1d}
#: Those of images that treat each channel by itself, and alike.
_CHANNELWISE = {
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, F.max_pool2d, F.avg_pool2d,
    F.adaptive_avg_pool2d,
}  # fmt: skip
#: Those that treat each number by itself, or the last axes alone.
_POINTWISE = {
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Softplus,
    nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout, nn.Dropout2d, nn.LayerNorm, nn.Linear, nn.Embedding,
    F.relu, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish, torch.relu, torch.tanh, torch.sigmoid,
    Tensor.relu, Tensor.tanh, Tensor.sigmoid, Tensor.contiguous,
}  # fmt: skip
_ARITHMETIC = {
    operator.add, operator.sub, operator.mul, torch.add, torch.sub, torch.mul, Tensor.add, Tensor.sub,
    Tensor.mul, operator.iadd, operator.imul,
}  # fmt: skip
#: What says how large a tensor is, or of what kind.
_ABOUT = {getattr, Tensor.size, Tensor.dim, Tensor.numel}

#: The settings of max pooling in their order, and what they are by default.
_POOLING = {
    "kernel_size": None, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False,
    "return_indices": False,
}  # fmt: skip


def call_for_all(
    call: Callable[..., Any],
    own: Mapping[str, Tensor],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    looped: set[Any] | None = None,
) -> Any:
    """What a module or function gives for every candidate: `Varying`s, or values equal for all.

    `own`: the module's parameters that vary, (P, ...) by name. Arguments may hold `Varying`s. `looped`
    remembers the functions that can be called for one candidate alone.
    """
    varying = varying_in((args, dict(kwargs)))
    if not own and not varying:
        return call(*args, **kwargs)  # on sizes, say, that no candidate changes
    if call in _ABOUT and not own:
        return _about(call, args, kwargs)
    count = len(next(iter(own.values()))) if own else len(varying[0].stacked)
    if isinstance(call, nn.Module):
        written = own or type(call) in WHOLE
        found = with_own_weights(call, own, args, kwargs, count) if written else None
        if found is not None:
            return mapped(found, lambda item: Varying(item) if isinstance(item, Tensor) else item)
    result = None if own else _without(call, args, kwargs)
    if result is not None:
        return Varying(result)
    if count > 1 and not isinstance(call, nn.Module):
        mapped_result = _vectorized(call, args, kwargs, set() if looped is None else looped)
        if mapped_result is not None:
            return mapped_result
    return _for_each_candidate(call, own, args, kwargs, count)


def alone_on_one(call: Any) -> Callable[[Any], Any]:
    """A module or function of one argument, to be called on one candidate's tensor, or on what all share."""
    windows = _windows(call, (), {})
    if windows is None:
        function: Callable[[Any], Any] = call
        return function

    def pooled(x: Tensor) -> Any:
        return max_of_windows(x, windows) if x.dim() == 4 and x.device.type == "cpu" else call(x)

    return pooled


def _about(call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What a tensor says of itself, which is the same for every candidate; its data or transpose are not."""
    args_0, kwargs_0 = of_candidate((args, dict(kwargs)), 0)
    found = call(*args_0, **kwargs_0)
    if any(isinstance(item, Tensor) or callable(item) for item in items(found)):
        return _for_each_candidate(call, {}, args, kwargs, len(varying_in((args, dict(kwargs)))[0].stacked))
    return found


def _without(call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """An operation whose weights are shared, on all candidates' examples as on one large batch."""
    if not args or not isinstance(args[0], Varying) or varying_in((args[1:], dict(kwargs))):
        return _arithmetic(call, args, kwargs)
    x, rest = args[0].stacked, args[1:]
    kind = type(call) if isinstance(call, nn.Module) else call
    if kind in _POINTWISE and x.dim() >= 2:
        return _tensor(call(x, *rest, **kwargs))
    if x.dim() - 1 == _EXAMPLEWISE.get(kind) or (kind in _ANY_AXES and x.dim() >= 3):
        return _examplewise(call, kind, x, rest, kwargs)
    if _flattens_examples(call, rest, kwargs) and x.dim() > 2:
        return x.flatten(2)
    return _arithmetic(call, args, kwargs)


def _examplewise(
    call: Any, kind: Any, x: Tensor, rest: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor | None:
    """An operation on each example by itself, on the candidates' x (P, N, C, ...)."""
    if x.device.type == "cpu" and x.dim() == 5 and (windows := _windows(call, rest, kwargs)):
        return max_of_windows(x, windows)
    if kind in _CHANNELWISE and x.stride(0) == 1 and len(x) > 1:
        # Candidates that lie next to each other in memory are as good as channels, and need no copy.
        channels = x.permute(2, 1, 0, 3, 4)  # (C, N, P, H, W)
        output = _tensor(call(channels.flatten(0, 1), *rest, **kwargs))
        return None if output is None else output.unflatten(0, channels.shape[:2]).permute(2, 1, 0, 3, 4)
    output = _tensor(call(x.flatten(0, 1), *rest, **kwargs))
    return None if output is None else output.unflatten(0, x.shape[:2])


def _windows(call: Any, rest: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Windows | None:
    """Those of which a pooling takes the largest numbers; None for anything else."""
    if type(call) is nn.MaxPool2d and not rest and not kwargs:
        settings = {name: getattr(call, name) for name in _POOLING}
    elif call is F.max_pool2d:
        settings = {**_POOLING, **dict(zip(_POOLING, rest, strict=False)), **kwargs}
    else:
        return None
    size = _pair(settings["kernel_size"])
    steps = size if settings["stride"] is None else _pair(settings["stride"])
    plain = _pair(settings["dilation"]) == (1, 1)
    if not plain or settings["ceil_mode"] or settings["return_indices"]:
        return None
    return Windows(size, steps, _pair(settings["padding"]))


def _pair(size: Any) -> Any:
    """Height and width, from a pair or from one number for both."""
    return (size, size) if isinstance(size, int) else tuple(size) * (2 // len(size))


def _flattens_examples(call: Any, rest: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    if isinstance(call, nn.Flatten):
        return (call.start_dim, call.end_dim) == (1, -1)
    return call in (torch.flatten, Tensor.flatten) and rest == (1,) and not kwargs


def _arithmetic(call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """A sum, difference or product of two operands whose axes meet the same way for each candidate."""
    if call not in _ARITHMETIC or len(args) != 2 or kwargs:
        return None
    ranks = [_num_axes(arg) for arg in args]
    varying = [rank for arg, rank in zip(args, ranks, strict=True) if isinstance(arg, Varying)]
    if None in ranks or not varying or any(rank != max(ranks) for rank in varying):  # type: ignore[type-var]
        return None
    if call in (operator.iadd, operator.imul) and not isinstance(args[0], Varying):
        return None  # each candidate would change what all share
    left, right = (arg.stacked if isinstance(arg, Varying) else arg for arg in args)
    return _tensor(call(left, right))


def _num_axes(arg: object) -> int | None:
    """Axes of an operand for one candidate."""
    if isinstance(arg, Varying):
        return arg.stacked.dim() - 1
    if isinstance(arg, Tensor):
        return arg.dim()
    return 0 if isinstance(arg, int | float) else None


def _vectorized(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], looped: set[Any]
) -> Any:
    """The function over the candidates' axis by `torch.vmap`; None where that cannot be done."""
    if call in looped:
        return None
    stacks = [each.stacked for each in varying_in((args, dict(kwargs)))]

    def of_one(*own: Tensor) -> Any:
        values = iter(own)
        args_p, kwargs_p = mapped(
            (args, dict(kwargs)), lambda item: next(values) if isinstance(item, Varying) else item
        )
        return call(*args_p, **kwargs_p)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of operations that it would loop over itself
            found = torch.vmap(of_one)(*stacks)
    except (RuntimeError, TypeError, ValueError, IndexError, UserWarning):
        looped.add(call)
        return None
    return mapped(found, lambda item: Varying(item) if isinstance(item, Tensor) else item)


def _for_each_candidate(
    call: Callable[..., Any],
    own: Mapping[str, Tensor],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    count: int,
) -> Any:
    """The operation for each candidate by itself."""
    outputs = []
    for p in range(count):
        args_p, kwargs_p = of_candidate((args, dict(kwargs)), p)
        if isinstance(call, nn.Module):
            numbers = [(call.get_parameter(n), in_usual_order(stack[p])) for n, stack in own.items()]
            with with_numbers(numbers), with_copied_buffers(call):
                outputs.append(call(*args_p, **kwargs_p))
        else:
            outputs.append(call(*args_p, **kwargs_p))
    return stacked(outputs)


def _tensor(output: object) -> Tensor | None:
    return output if isinstance(output, Tensor) else None

"""Layers of many candidates at once: each one's own weights, and pooling."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genophen.population.nested import in_one_stack

#: The function of a convolution, by the class of the module.
CONVOLUTIONS: dict[type, Any] = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, conv: Any) -> Tensor:
    """Candidate p's convolution on its inputs: (P, N, C_out, *positions).

    x: (P, N, C_in, *positions); weight: (P, C_out, C_in / groups, *kernel); bias: (P, C_out), (C_out,)
    or None.
    """
    if x.device.type == "cpu":  # where a grouped convolution does one group after the other, only slower
        function = CONVOLUTIONS[type(conv)]
        biases = [None] * len(weight) if bias is None else bias.expand(len(weight), -1)
        outputs = [
            function(x[p], weight[p], biases[p], conv.stride, conv.padding, conv.dilation, conv.groups)
            for p in range(len(weight))
        ]
        return in_one_stack(outputs)
    output = grouped_convolution(x, weight, conv)
    return output if bias is None else output + _by_channel(bias, output)


def grouped_convolution(x: Tensor, weight: Tensor, conv: Any) -> Tensor:
    """All candidates' convolutions, less their biases, as the groups of one: (P, N, C_out, *positions)."""
    count, function = len(weight), CONVOLUTIONS[type(conv)]
    wide = x.transpose(0, 1).flatten(1, 2)  # (N, P C_in, *positions)
    groups = count * conv.groups
    wide = function(wide, weight.flatten(0, 1), None, conv.stride, conv.padding, conv.dilation, groups)
    return wide.unflatten(1, (count, -1)).transpose(0, 1)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Candidate p's dense layer: (P, ..., C_out).

    x: (P, ..., C_in); weight: (P, C_out, C_in); bias: (P, C_out), (C_out,) or None.
    """
    if len(weight) == 1:
        return F.linear(x[0], weight[0], bias[0] if bias is not None and bias.dim() == 2 else bias)[None]
    rows = x.flatten(1, -2) if x.dim() > 2 else x[:, None]  # (P, rows, C_in)
    if bias is None:
        output = torch.bmm(rows, weight.mT)
    else:
        output = torch.baddbmm(bias.view(-1, 1, bias.shape[-1]), rows, weight.mT)
    return output.view(*x.shape[:-1], -1)


def normalization(x: Tensor, own: Mapping[str, Tensor], module: Any) -> Tensor | None:
    """Candidate p's batch, layer or group normalisation; None where it has statistics of its own.

    x: (P, N, C, ...), or (P, ..., *normalized_shape) for a layer's.
    """
    weight, bias = own.get("weight", module.weight), own.get("bias", module.bias)
    if isinstance(module, nn.LayerNorm):
        output = F.layer_norm(x, module.normalized_shape, None, None, module.eps)
        between = (1,) * (x.dim() - 1 - len(module.normalized_shape))
        weight, bias = (_spread(each, between, module.normalized_shape) for each in (weight, bias))
    else:
        rows = _normalized(x.flatten(0, 1), module)
        if rows is None:
            return None
        output = rows.unflatten(0, x.shape[:2])
        weight, bias = (None if each is None else _by_channel(each, output) for each in (weight, bias))
    output = output if weight is None else output * weight
    return output if bias is None else output + bias


def _normalized(x: Tensor, module: Any) -> Tensor | None:
    """x (N, C, ...) without scale and shift."""
    if isinstance(module, nn.GroupNorm):
        return F.group_norm(x, module.num_groups, None, None, module.eps)
    if module.running_mean is None:
        return None
    return F.batch_norm(x, module.running_mean, module.running_var, None, None, eps=module.eps)


def _spread(values: Tensor | None, between: tuple[int, ...], shape: tuple[int, ...]) -> Tensor | None:
    """(P, *shape) as (P, 1, ..., *shape); (*shape) as it is."""
    own = values is not None and values.dim() > len(shape)
    return values.view(-1, *between, *shape) if own and values is not None else values


def _by_channel(values: Tensor, like: Tensor) -> Tensor:
    """(P, C) or (C,) as (P or 1, 1, C, 1, ...), to be added to `like` (P, N, C, ...)."""
    return values.view(-1, 1, values.shape[-1], *[1] * (like.dim() - 3))


@dataclass(frozen=True)
class Windows:
    """The windows of an image of which a pooling takes the largest numbers: pairs for height and width."""

    size: tuple[int, int]
    steps: tuple[int, int]
    padding: tuple[int, int]


def max_of_windows(x: Tensor, windows: Windows) -> Tensor:
    """The largest numbers (..., H', W') of images' (..., H, W) windows, cut ones left out.

    Several times as fast on a CPU as torch's pooling, which also finds where they are.
    """
    (h, w), (down, right), (top, left) = windows.size, windows.steps, windows.padding
    if top or left:
        x = F.pad(x, (left, left, top, top), value=-torch.inf)
    height, width = (x.shape[-2] - h) // down + 1, (x.shape[-1] - w) // right + 1
    rows = [x[..., i : i + down * (height - 1) + 1 : down, :] for i in range(h)]
    highest = functools.reduce(torch.maximum, rows)
    columns = [highest[..., i : i + right * (width - 1) + 1 : right] for i in range(w)]
    return functools.reduce(torch.maximum, columns)

"""What a parameter is to a genotype, by the module that it belongs to; or why it can be written by none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import UninitializedParameter

#: A scale's: it has one input, but starts at 1 with a deviation of sqrt(2 / 200) = 0.1.
SCALE_FAN_IN = 200
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_TABLES = (nn.Embedding, nn.EmbeddingBag)
#: How the error says what may be expressed.
ALLOWED = "weights of convolutions, dense, embedding, recurrent and normalisation layers"


@dataclass(frozen=True)
class Kind:
    """What a `Target` takes from the module that holds a weight."""

    kind: str
    fan_in: int
    gates: int = 1
    groups: int = 1
    padding_index: int | None = None


def kind_of(owner: nn.Module, attribute: str) -> Kind | str:
    """What the weight `attribute` of a module is; in words, what keeps it from being written."""
    weight = owner._parameters[attribute]
    assert weight is not None
    if problem := _problem(owner, weight):
        return problem
    if isinstance(owner, _RECURRENT):
        return _recurrent(owner, attribute, weight)
    if attribute == "in_proj_weight" and isinstance(owner, nn.MultiheadAttention):
        return Kind("dense", weight.shape[1], gates=3)
    return (attribute == "weight" and _of_layer(owner, weight)) or _by_shape(owner, weight)


def _problem(owner: nn.Module, weight: nn.Parameter) -> str:
    """What keeps any genotype from writing a weight, or an empty string."""
    if isinstance(weight, UninitializedParameter):
        return "it has no shape before the network's first forward pass"
    if not weight.numel():
        return f"its shape is {tuple(weight.shape)}: it holds no numbers"
    if not weight.is_floating_point():
        return f"its numbers are {weight.dtype}"
    if isinstance(owner, _TABLES) and (owner.max_norm is not None or owner.sparse):
        setting = "sparse" if owner.sparse else "max_norm"
        return f"its table is used in another way ({type(owner).__name__} with {setting})"
    return ""


def _of_layer(owner: nn.Module, weight: nn.Parameter) -> Kind | None:
    """The kind of the `weight` of a layer that is known by its class."""
    if isinstance(owner, _NORMS):
        return Kind("scale", SCALE_FAN_IN)
    if isinstance(owner, _ConvTransposeNd):
        sizes = zip(owner.kernel_size, owner.stride, strict=True)
        pixels = math.prod(math.ceil(size / stride) for size, stride in sizes)
        return Kind("transposed", owner.in_channels // owner.groups * pixels, groups=owner.groups)
    if isinstance(owner, _ConvNd):
        return Kind("conv", weight[0].numel())
    if isinstance(owner, _TABLES):
        return Kind("embedding", weight.shape[1], padding_index=owner.padding_idx)
    return None


def _by_shape(owner: nn.Module, weight: nn.Parameter) -> Kind | str:
    """What a parameter of any other module is."""
    shape = tuple(weight.shape)
    if len(shape) == 4:
        return Kind("conv", math.prod(shape[1:]))
    return Kind("dense", shape[1]) if len(shape) == 2 else f"its shape is {shape} ({type(owner).__name__})"


def _recurrent(owner: nn.Module, attribute: str, weight: nn.Parameter) -> Kind | str:
    if not attribute.startswith("weight"):
        return f"it is a bias of a recurrent layer ({type(owner).__name__})"
    if attribute.startswith("weight_hr"):  # an LSTM's projection of h
        return Kind("recurrent", weight.shape[1])
    of_x, of_h = (attribute.replace("_hh", part).replace("_ih", part) for part in ("_ih", "_hh"))
    inputs = sum(owner.get_parameter(name).shape[1] for name in (of_x, of_h))
    return Kind("recurrent", inputs, gates=len(weight) // int(owner.hidden_size))  # type: ignore[arg-type]


def bias_attribute(owner: nn.Module, attribute: str) -> str | None:
    """The name in its module of the bias that stands beside a weight, whether the module has one or not."""
    if isinstance(owner, _RECURRENT):
        gates = attribute.startswith(("weight_ih", "weight_hh"))
        return attribute.replace("weight", "bias") if gates else None
    if isinstance(owner, nn.MultiheadAttention):
        return "in_proj_bias" if attribute == "in_proj_weight" else None
    return "bias" if attribute == "weight" else None

"""From name patterns to the tensors of a network that a genotype writes."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.parameter import UninitializedParameter

from genophen.contracts.genotype import Target
from genophen.errors import ConfigError, nearest


def find_targets(network: nn.Module, patterns: Sequence[str]) -> dict[str, Target]:
    """The targets that the patterns select, in the network's order: each weight, then its module's bias.

    Patterns are fnmatch patterns over full parameter names, and `*` crosses dots. Tied parameters are one
    target, under their first name.

    Raises:
        ConfigError: for a pattern that matches nothing, and for a parameter that is no weight of a
            two-dimensional convolution or dense layer.
    """
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise _matches_nothing(pattern, names)
    selected = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if not selected:
        raise ConfigError(
            "cannot compile a network of which nothing is expressed",
            found="no pattern",
            allowed=f"patterns over {', '.join(names)}",
        )
    first_name = _first_names(network)
    weights = dict.fromkeys(first_name[name] for name in selected if not _is_bias_of_weight(network, name))
    targets: dict[str, Target] = {}
    for layer_index, name in enumerate(weights):
        for target in _layer_targets(network, name, layer_index):
            targets.setdefault(first_name[target.name], target)
    for name in selected:
        if first_name[name] not in targets:
            raise _not_a_weight(network, name, "it is a bias whose own weight no pattern matches")
    return targets


def _first_names(network: nn.Module) -> dict[str, str]:
    """Each parameter name mapped to the first name of the same tensor: tied weights share one."""
    first: dict[int, str] = {}
    return {
        name: first.setdefault(id(parameter), name)
        for name, parameter in network.named_parameters(remove_duplicate=False)
    }


def aliases(network: nn.Module, name: str) -> list[str]:
    """The names of the parameter `name`, itself first: one for each module that holds the tensor.

    A module that is used in two places has two names, and is one module all the same.
    """
    parameter = network.get_parameter(name)
    holders: dict[tuple[int, str], str] = {}
    every = [
        other for other, tensor in network.named_parameters(remove_duplicate=False) if tensor is parameter
    ]
    for other in [name, *every]:
        owner, _, attribute = other.rpartition(".")
        holders.setdefault((id(network.get_submodule(owner)), attribute), other)
    return list(holders.values())


def _layer_targets(network: nn.Module, name: str, layer_index: int) -> list[Target]:
    owner, weight = network.get_submodule(name.rpartition(".")[0]), network.get_parameter(name)
    if isinstance(weight, UninitializedParameter):
        raise _not_a_weight(network, name, "it has no shape before the network's first forward pass")
    if not weight.numel():
        raise _not_a_weight(network, name, f"its shape is {tuple(weight.shape)}: it holds no numbers")
    if isinstance(owner, _ConvTransposeNd):
        raise _not_a_weight(network, name, f"it belongs to a transposed convolution ({_kind(owner)})")
    if isinstance(owner, nn.RNNBase):
        raise _not_a_weight(network, name, f"it belongs to a recurrent layer ({_kind(owner)})")
    if weight.dim() not in (2, 4):
        raise _not_a_weight(network, name, f"its shape is {tuple(weight.shape)} ({_kind(owner)})")
    kind, fan_in = "conv" if weight.dim() == 4 else "dense", weight[0].numel()
    shape = tuple(weight.shape)
    targets = [Target(name, shape, kind, fan_in, layer_index, weight.detach().clone())]  # type: ignore[arg-type]
    for alias in aliases(network, name):
        owner_name, _, attribute = alias.rpartition(".")
        bias = network.get_submodule(owner_name)._parameters.get("bias") if attribute == "weight" else None
        if bias is not None:
            bias_name, initial = f"{owner_name}.bias".lstrip("."), bias.detach().clone()
            targets.append(
                Target(bias_name, tuple(bias.shape), f"{kind}-bias", fan_in, layer_index, initial)  # type: ignore[arg-type]
            )
    return targets


def _is_bias_of_weight(network: nn.Module, name: str) -> bool:
    """Whether the name is a `bias` beside a `weight` of 2 or 4 dimensions."""
    owner_name, _, attribute = name.rpartition(".")
    weight = network.get_submodule(owner_name)._parameters.get("weight")
    return attribute == "bias" and weight is not None and weight.dim() in (2, 4)


def _kind(module: nn.Module) -> str:
    return type(module).__name__


def _matches_nothing(pattern: str, names: list[str]) -> ConfigError:
    return ConfigError(
        f"cannot express {pattern!r}",
        found="the pattern matches no parameter of the network",
        allowed=", ".join(names) or "(the network has no parameters)",
        next_step=nearest(pattern, names) or "name a parameter above, or a pattern such as '*.weight'",
    )


def _not_a_weight(network: nn.Module, name: str, found: str) -> ConfigError:
    fit = [
        other
        for other, parameter in network.named_parameters()
        if not isinstance(parameter, UninitializedParameter) and parameter.dim() in (2, 4)
    ]
    return ConfigError(
        f"cannot express the parameter {name!r}",
        found=found,
        allowed="weights of 2-D convolutions (4 dimensions) and of dense layers (2 dimensions): "
        + (", ".join(fit) or "this network has none"),
        next_step="narrow the pattern, or leave this parameter direct",
    )

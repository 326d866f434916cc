"""From name patterns to the tensors of a network that a genotype writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase

from torch import nn

from genophen.contracts.genotype import Target
from genophen.errors import ConfigError, nearest
from genophen.phenotype.kinds import ALLOWED, Kind, bias_attribute, kind_of


def find_targets(network: nn.Module, patterns: Sequence[str]) -> dict[str, Target]:
    """The targets that the patterns select, in the network's order: each weight, then its module's bias.

    Patterns are fnmatch patterns over full parameter names, and `*` crosses dots. Tied parameters are one
    target, under their first name.

    Raises:
        ConfigError: for a pattern that matches nothing, and for a parameter that no genotype can write.
    """
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise _matches_nothing(network, pattern)
    selected = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if not selected:
        raise ConfigError(
            "cannot compile a network of which nothing is expressed",
            found="no pattern",
            allowed=f"patterns over {_expressible(network)}",
        )
    first_name = _first_names(network)
    weights = dict.fromkeys(first_name[name] for name in selected if not _is_bias_of_weight(network, name))
    targets: dict[str, Target] = {}
    for layer_index, name in enumerate(weights):
        for target in _layer_targets(network, name, layer_index):
            targets.setdefault(first_name[target.name], target)
    for name in selected:
        if first_name[name] not in targets:
            raise _cannot_express(network, name, "it is a bias whose own weight no pattern matches")
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
        owner, attribute = owner_of(network, other)
        holders.setdefault((id(owner), attribute), other)
    return list(holders.values())


def owner_of(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds a parameter, and the parameter's name in it."""
    owner_name, _, attribute = name.rpartition(".")
    return network.get_submodule(owner_name), attribute


def _layer_targets(network: nn.Module, name: str, layer_index: int) -> list[Target]:
    """The target of a weight, and those of the biases beside it: one a module that holds the weight."""
    kind = kind_of(*owner_of(network, name))
    if isinstance(kind, str):
        raise _cannot_express(network, name, kind)
    targets = [_target(network, name, layer_index, kind)]
    for alias in aliases(network, name):
        owner, attribute = owner_of(network, alias)
        bias = bias_attribute(owner, attribute)
        if bias is not None and owner._parameters.get(bias) is not None:
            bias_name = alias.removesuffix(attribute) + bias
            bias_kind = Kind(f"{kind.kind}-bias", kind.fan_in, gates=kind.gates)
            targets.append(_target(network, bias_name, layer_index, bias_kind))
    return targets


def _target(network: nn.Module, name: str, layer_index: int, kind: Kind) -> Target:
    initial = network.get_parameter(name).detach().clone()
    return Target(name, tuple(initial.shape), layer_index=layer_index, initial=initial, **asdict(kind))


def _is_bias_of_weight(network: nn.Module, name: str) -> bool:
    """Whether the name is that of the bias beside a weight that a genotype can write."""
    owner, attribute = owner_of(network, name)
    beside = [weight for weight in owner._parameters if bias_attribute(owner, weight) == attribute]
    return any(
        owner._parameters[weight] is not None and isinstance(kind_of(owner, weight), Kind)
        for weight in beside
    )


def _expressible(network: nn.Module) -> str:
    """The names of all weights that a genotype can write."""
    names = [name for name, _ in network.named_parameters() if _is_weight(network, name)]
    return ", ".join(names) or "(this network has none)"


def _is_weight(network: nn.Module, name: str) -> bool:
    return not _is_bias_of_weight(network, name) and isinstance(kind_of(*owner_of(network, name)), Kind)


def _matches_nothing(network: nn.Module, pattern: str) -> ConfigError:
    names = [name for name, _ in network.named_parameters() if _is_weight(network, name)]
    return ConfigError(
        f"cannot express {pattern!r}",
        found="the pattern matches no parameter of the network",
        allowed=_expressible(network),
        next_step=nearest(pattern, names) or "name a parameter above, or a pattern such as '*.weight'",
    )


def _cannot_express(network: nn.Module, name: str, found: str) -> ConfigError:
    return ConfigError(
        f"cannot express the parameter {name!r}",
        found=found,
        allowed=f"{ALLOWED}: {_expressible(network)}",
        next_step="narrow the pattern, or leave this parameter direct",
    )

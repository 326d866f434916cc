"""Where the inputs of dense layers stand in an image: seen by running the network once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from genophen.contracts.genotype import Target

Shape = tuple[int, int, int]


def with_positions(
    network: nn.Module, targets: dict[str, Target], input_shape: Sequence[int]
) -> dict[str, Target]:
    """The targets, of which each dense one says where its inputs stand in an image of `input_shape`."""
    dense = [name for name, target in targets.items() if target.kind == "dense" and target.gates == 1]
    owners = {name: name.rpartition(".")[0] for name in dense}
    if not owners:
        return targets
    shapes = image_positions(network, input_shape, list(owners.values()))
    return {name: replace(target, image=shapes.get(owners.get(name, ""))) for name, target in targets.items()}


def image_positions(
    network: nn.Module, input_shape: Sequence[int], modules: Sequence[str]
) -> dict[str, Shape]:
    """The (C, H, W) that the inputs of a module are, flattened, for those of `modules` that are given such.

    A random image of `input_shape` goes through a copy of the network, in eval mode. A module's input (1, F)
    is looked for among the feature maps (1, C, H, W) that were computed before it. Of a network that does not
    run on such an image nothing is known.
    """
    network = copy.deepcopy(network).eval()
    inputs: dict[str, list[Tensor]] = {}
    with _FeatureMaps() as maps, torch.random.fork_rng(devices=[]), torch.no_grad():
        for name in modules:
            network.get_submodule(name).register_forward_pre_hook(partial(_note, inputs, name, maps))
        like = next(network.parameters())
        image = torch.rand(1, *input_shape, generator=torch.Generator().manual_seed(0))
        try:
            network(image.to(like.device, like.dtype))
        except Exception:  # the network's own code; whoever trains it is told what is wrong
            return {}
    shapes = {name: _shape(flat, earlier) for name, (flat, *earlier) in inputs.items()}
    return {name: shape for name, shape in shapes.items() if shape is not None}


class _FeatureMaps(TorchDispatchMode):
    """Remembers every (1, C, H, W) that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple) else (result,):
            if isinstance(tensor, Tensor) and tensor.dim() == 4 and len(tensor) == 1:
                self.seen.append(tensor)
        return result


def _note(
    inputs: dict[str, list[Tensor]], name: str, maps: _FeatureMaps, module: nn.Module, given: Any
) -> None:
    inputs[name] = [given[0], *maps.seen]


def _shape(flat: Tensor, maps: list[Tensor]) -> Shape | None:
    """The shape of the latest of the feature maps that the vector (1, F) is."""
    for each in reversed(maps):
        _, channels, height, width = each.shape
        if each.numel() == flat.numel() and height * width > 1 and torch.equal(each.flatten(1), flat):
            return channels, height, width
    return None

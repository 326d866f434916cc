"""Which positions in an image the inputs of a dense layer have."""

from __future__ import annotations

import torch
from helpers import plugin_class
from torch import Tensor, nn
from torch.nn import functional as F

import genophen


class Branches(nn.Module):
    """A flatten without a module of its own, dropout, batch norm, and a layer after global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dense = nn.Linear(4 * 3 * 2, 5)
        self.pooled = nn.Linear(4, 5)
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.relu(self.norm(self.conv(x)))
        flat = F.dropout(F.max_pool2d(maps, 2).flatten(1), 0.5, self.training)
        return self.last(self.dense(flat) + self.pooled(maps.mean((2, 3))))


def images(network: nn.Module, input_shape: tuple[int, ...]) -> dict[str, tuple[int, int, int] | None]:
    phenotype = genophen.compile(network, ["*.weight"], "cppn", input_shape=input_shape)
    return {name: target.image for name, target in phenotype.targets.items() if target.kind == "dense"}


def without_norm(network: Branches) -> Branches:
    network.norm = nn.Identity()
    return network


def test_inputs_are_found_in_the_feature_map_that_was_flattened() -> None:
    found = images(without_norm(Branches()), (3, 8, 6))
    assert found == {"dense.weight": (4, 3, 2), "pooled.weight": None, "last.weight": None}


def test_an_image_that_is_flattened_itself_and_one_that_does_not_fit() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 6), nn.Linear(6, 2))
    assert images(network, (3, 4, 5)) == {"1.weight": (3, 4, 5), "2.weight": None}
    assert images(network, (3, 4, 6)) == {"1.weight": None, "2.weight": None}


def test_the_network_and_the_global_generator_are_left_alone() -> None:
    network = without_norm(Branches()).train()
    before = torch.random.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images(network, (3, 8, 6))
    assert torch.equal(before, torch.random.get_rng_state())
    assert network.training
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())


def test_a_run_tells_its_genotype_the_positions() -> None:
    from genophen.config.config import resolve_config
    from genophen.plugins.loading import load_plugins
    from genophen.training.experiment import build_phenotype

    class Dense(plugin_class("architecture", "vgg-block3")):  # type: ignore[misc]
        name = "vgg-block3"

        def expressed(self) -> list[str]:
            return ["dense1.weight"]

    plugins = load_plugins()
    config = resolve_config(
        {
            "dataset": {"name": "digits"},
            "architecture": {"name": "vgg-block3"},
            "genotype": {"name": "cppn"},
        },
        plugins,
        "test",
    )
    plugin = plugins.get("architecture", "vgg-block3")
    object.__setattr__(plugin, "cls", Dense)
    _, phenotype = build_phenotype(config, plugins)
    assert phenotype.targets["dense1.weight"].image == (64, 4, 4)

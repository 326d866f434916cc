"""Which parameters patterns select, and what cannot be expressed."""

from __future__ import annotations

import pytest
import torch
from helpers import small_network
from torch import nn

import genophen
from genophen.phenotype.targets import find_targets


def test_patterns_cross_dots_and_keep_the_networks_order() -> None:
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), nn.Conv2d(4, 8, 1))
    targets = find_targets(network, ["*1.weight", "*0.weight"])
    assert list(targets) == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias", "1.weight", "1.bias"]
    assert [target.layer_index for target in targets.values()] == [0, 0, 1, 1, 2, 2]
    assert [target.kind for target in targets.values()] == ["conv", "conv-bias"] * 3
    assert targets["0.1.weight"].fan_in == targets["0.1.bias"].fan_in == 36


def test_a_grouped_convolution_has_the_fan_in_of_one_group() -> None:
    targets = find_targets(nn.Sequential(nn.Conv2d(8, 8, 3, groups=4)), ["0.weight"])
    assert targets["0.weight"].shape == (8, 2, 3, 3)
    assert targets["0.weight"].fan_in == 18


def test_a_pattern_that_covers_weight_and_bias_is_one_layer() -> None:
    assert list(find_targets(small_network(), ["0.*"])) == ["0.weight", "0.bias"]


@pytest.mark.parametrize(
    ("layer", "pattern", "said"),
    [
        (nn.Bilinear(3, 4, 5), "0.weight", r"its shape is \(5, 3, 4\) \(Bilinear\)"),
        (nn.PReLU(3), "0.weight", r"its shape is \(3,\) \(PReLU\)"),
        (nn.Embedding(3, 4, max_norm=1.0), "0.weight", r"used in another way \(Embedding with max_norm\)"),
        (nn.EmbeddingBag(3, 4, sparse=True), "0.weight", r"used in another way \(EmbeddingBag with sparse\)"),
        (nn.Conv2d(3, 4, 3), "0.bias", "bias whose own weight no pattern matches"),
        (nn.LSTM(3, 4), "0.bias_hh_l0", "bias whose own weight no pattern matches"),
        (nn.MultiheadAttention(4, 2), "0.in_proj_bias", "bias whose own weight no pattern matches"),
        (nn.LazyConv2d(4, 3), "0.weight", "no shape before the network's first forward pass"),
    ],
)
def test_what_cannot_be_expressed_is_named(layer: nn.Module, pattern: str, said: str) -> None:
    network = nn.Sequential(layer, nn.Conv2d(4, 4, 3), nn.Bilinear(3, 4, 5), nn.GRUCell(3, 4))
    with pytest.raises(genophen.ConfigError, match=said) as caught:
        find_targets(network, [pattern])
    said_of, _, rest = str(caught.value).partition("\n")
    assert said_of == f"cannot express the parameter {pattern!r}"
    assert "1.weight, 3.weight_ih, 3.weight_hh" in rest  # what would do
    assert "2.weight" not in rest  # what would be refused next


def test_a_pattern_that_matches_nothing_lists_what_would_do_and_nothing_else() -> None:
    network = nn.Sequential(nn.Bilinear(3, 4, 5), nn.Conv1d(4, 4, 3), nn.BatchNorm1d(4))
    with pytest.raises(genophen.ConfigError, match=r"allowed: 1\.weight, 2\.weight\n"):
        find_targets(network, ["weight"])


def test_an_empty_weight_is_named() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    network[0].weight = nn.Parameter(torch.empty(4, 0, 3, 3))
    with pytest.raises(genophen.ConfigError, match=r"its shape is \(4, 0, 3, 3\): it holds no numbers"):
        find_targets(network, ["0.weight"])


def test_a_pattern_that_matches_nothing_names_the_nearest() -> None:
    network = nn.Sequential()
    network.add_module("conv2", nn.Conv2d(3, 3, 3))
    with pytest.raises(genophen.ConfigError, match=r"'conv2\.wieght'") as caught:
        find_targets(network, ["conv2.weight", "conv2.wieght"])
    assert "did you mean conv2.weight?" in str(caught.value)


def test_no_pattern_at_all_is_an_error() -> None:
    with pytest.raises(genophen.ConfigError, match="nothing is expressed"):
        find_targets(small_network(), [])


def test_a_target_holds_the_initial_value_and_not_the_parameter() -> None:
    network = small_network()
    target = find_targets(network, ["0.weight"])["0.weight"]
    before = target.initial.clone()
    with torch.no_grad():
        network[0].weight.zero_()
    assert torch.equal(target.initial, before)
    assert not target.initial.requires_grad


def test_every_layer_that_holds_a_tied_weight_gives_its_bias() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    network[1].weight = network[0].weight
    assert list(find_targets(network, ["1.weight"])) == ["0.weight", "0.bias", "1.bias"]

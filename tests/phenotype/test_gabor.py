"""First convolutions that begin as Gabor filters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import digits_tables
from torch import nn

import genophen
from genophen.config.config import resolve_config
from genophen.phenotype.gabor import gabor_filters, initialize_gabor
from genophen.plugins.loading import load_plugins
from genophen.training.experiment import build_phenotype


def built(**training: Any) -> genophen.Phenotype:
    plugins = load_plugins()
    return build_phenotype(resolve_config(digits_tables(**training), plugins, "given"), plugins)[1]


@pytest.mark.parametrize("shape", [(16, 1, 7, 7), (16, 3, 3, 3), (64, 3, 7, 7), (6, 2, 3, 5), (2, 3, 3, 3)])
def test_filters_have_mean_0_and_variance_2_over_fan_in(shape: tuple[int, ...]) -> None:
    filters = gabor_filters(shape)
    rows = filters.flatten(1)
    assert filters.shape == shape
    torch.testing.assert_close(filters.mean((2, 3)), torch.zeros(shape[:2]), atol=1e-6, rtol=0)
    expected = torch.full((len(rows),), 2 / rows.shape[1])
    torch.testing.assert_close(rows.var(1, correction=0), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("shape", [(16, 1, 7, 7), (16, 1, 3, 3), (16, 3, 3, 3), (64, 3, 7, 7)])
def test_no_two_filters_are_alike(shape: tuple[int, ...]) -> None:
    correlations = torch.corrcoef(gabor_filters(shape).flatten(1))
    assert float((correlations - torch.eye(len(correlations))).max()) < 0.97


def test_sixteen_filters_are_two_frequencies_two_phases_four_angles() -> None:
    filters = gabor_filters((16, 1, 7, 7))[:, 0]
    turned = filters.flip((1, 2))
    for first in (0, 8):
        torch.testing.assert_close(turned[first : first + 4], filters[first : first + 4])  # even
        torch.testing.assert_close(turned[first + 4 : first + 8], -filters[first + 4 : first + 8])  # odd
        torch.testing.assert_close(filters[first + 2], filters[first].T)  # a quarter turn
    spectrum = torch.fft.rfft(filters[[4, 12]].sum(1), n=64).abs()
    slow, fast = spectrum.argmax(1).tolist()
    assert 6 <= slow < fast <= 14  # of 64: 0.1 to 0.2 cycles a pixel


def test_colour_filters_answer_to_brightness_or_to_opponent_colours() -> None:
    filters = gabor_filters((16, 3, 3, 3))
    torch.testing.assert_close(filters[:8], filters[:8, :1].expand(8, 3, 3, 3))
    torch.testing.assert_close(filters[8:].sum(1), torch.zeros(8, 3, 3), atol=1e-6, rtol=0)
    green = filters[8:, 1].abs().amax((1, 2))
    assert bool((green[:4] < 1e-6).all())
    assert bool((green[4:] > 0.1).all())


def test_a_config_sets_the_first_convolution_and_nothing_else() -> None:
    plain, gabor = built(), built(direct_initialization="gabor")
    torch.testing.assert_close(gabor.network.conv1.weight, nn.Parameter(gabor_filters((16, 1, 7, 7))))
    assert not gabor.network.conv1.bias.any()
    before, after = plain.state_dict(), gabor.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["network.conv1.weight", "network.conv1.bias"]
    other_seed = built(direct_initialization="gabor", seed=1)
    assert torch.equal(gabor.network.conv1.weight, other_seed.network.conv1.weight)


def test_convolutions_inside_the_network_and_small_or_expressed_ones_are_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3), nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    phenotype = genophen.compile(network, ["2.weight"], "direct")
    initialize_gabor(phenotype.network, 1)
    after = phenotype.network.state_dict()
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        assert torch.equal(before[name], after[name])
    assert torch.equal(phenotype.weights()["2.weight"], before["2.weight"])
    assert torch.equal(after["3.weight"], gabor_filters((4, 1, 3, 3)))


def test_a_network_without_such_a_convolution_is_a_config_error() -> None:
    phenotype = genophen.compile(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)), ["0.weight"])
    with pytest.raises(genophen.ConfigError) as caught:
        initialize_gabor(phenotype.network, 3)
    assert str(caught.value) == (
        "cannot start from Gabor filters (training.direct_initialization = 'gabor')\n"
        "  found:   no convolution of the network takes the image itself and is left unexpressed\n"
        "  allowed: an nn.Conv2d with 3 input channels, a kernel of at least 3x3 and "
        "a weight that no genotype writes\n"
        "  next:    --set training.direct_initialization=torch"
    )

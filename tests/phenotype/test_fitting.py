"""`genophen.fit`: near the best that there is, and nothing else is touched."""

from __future__ import annotations

import pytest
import torch
from helpers import compiled, small_network
from torch import nn

import genophen


def test_a_low_rank_genotype_comes_to_what_singular_values_allow() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 25))
    phenotype = genophen.compile(network, "*.weight", "low-rank", rank=5, normalization="none")
    explained = genophen.fit(phenotype, steps=400, learning_rate=0.1)
    assert list(explained) == ["0.weight", "1.weight"]
    for name, share in explained.items():
        weight = network.get_parameter(name).detach()
        rest = torch.linalg.svdvals(weight)[5:].square().sum()  # Eckart & Young 1936
        best = 1 - float(rest / (weight - weight.mean()).square().sum())
        assert 0.3 < best < 0.7
        assert share == pytest.approx(best, abs=0.01)
        error = (phenotype.weights()[name] - weight).square().sum() / (weight - weight.mean()).square().sum()
        assert 1 - error.item() == pytest.approx(share, abs=1e-5)


def test_a_hypernetwork_comes_nearer() -> None:
    phenotype = genophen.compile(small_network(), ["3.weight"], embedding_dim=16, normalization="none")
    few, many = (genophen.fit(phenotype, steps=steps)["3.weight"] for steps in (50, 100))
    assert 0 < few < many < 1


@pytest.mark.parametrize("base", [None, "initial"])
def test_what_begins_as_the_network_is_fitted_already(base: str | None) -> None:
    phenotype = compiled(genotype="direct" if base is None else "hypernetwork", base=base)
    before = phenotype.state_dict()
    assert set(genophen.fit(phenotype, steps=3).values()) == {1.0}
    assert all(torch.equal(before[name], value) for name, value in phenotype.state_dict().items())


def test_nothing_but_the_genotype_is_touched() -> None:
    phenotype = compiled(embedding_dim=4, normalization="none").eval()
    before = {name: value.clone() for name, value in phenotype.state_dict().items()}
    with torch.no_grad(), pytest.warns(UserWarning, match="take more steps"):
        genophen.fit(phenotype, steps=1)
    changed = {n for n, value in phenotype.state_dict().items() if not torch.equal(before[n], value)}
    assert changed
    assert all(name.startswith("genotype.") for name in changed)
    assert all(parameter.grad is None for parameter in phenotype.parameters())
    assert (phenotype.training, phenotype.samples.sample_evaluations) == (False, 0)


def test_a_constant_target_is_measured_by_its_mean_square() -> None:
    network = nn.Sequential(nn.BatchNorm2d(40))
    phenotype = genophen.compile(network, "0.weight", "dct", num_coefficients=1)
    start = phenotype.weights()["0.weight"].detach()
    assert genophen.fit(phenotype, steps=1, learning_rate=1e-9)["0.weight"] == pytest.approx(
        1 - (start - 1).square().mean().item(), abs=1e-5
    )


def test_kernels_of_a_scale_of_their_own_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="explains less than nothing.*normalization='none'"):
        explained = genophen.fit(compiled(embedding_dim=4), steps=1)
    assert max(explained.values()) < 0


class Detached(genophen.Genotype):
    name = "detached"
    description = "writes what no gradient reaches"

    def __init__(self, options, targets, generator):
        super().__init__()
        self.targets, self.scale = targets, nn.Parameter(torch.ones(()))

    def express(self):
        weights = {name: target for name, target in self.targets.items() if not target.is_bias}
        return {name: self.scale.detach() * target.initial for name, target in weights.items()}

    def genes(self, scope):
        return ["scale"]


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.warns(UserWarning, match="detached from all of its parameters"):
        phenotype = genophen.compile(small_network(), "0.weight", Detached)
    with pytest.raises(genophen.PluginError, match="detached writes weights that its parameters do not"):
        genophen.fit(phenotype)
    with pytest.raises(genophen.ConfigError, match="steps=0"):
        genophen.fit(compiled(), steps=0)


def test_a_module_without_a_genotype_is_refused_in_words() -> None:
    with pytest.raises(genophen.ConfigError, match=r"Linear, which has none\n.*a phenotype\n"):
        genophen.fit(nn.Linear(2, 2))


def test_each_target_that_is_explained_worse_than_by_nothing_is_named() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
    with torch.no_grad():
        network[0].weight.mul_(1e-3)  # a standardised kernel is far larger
    phenotype = genophen.compile(
        network, "*.weight", genotype="hypernetwork", embedding_dim=4, projection_dim=4
    )
    with pytest.warns(UserWarning, match=r"less than nothing of 0\.weight.*: take more steps"):
        explained = genophen.fit(phenotype, steps=2)
    assert explained["0.weight"] < -1000

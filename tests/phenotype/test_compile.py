"""`genophen.compile` on a network of one's own: what it keeps, what it says, and what it runs under."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import pytest
import torch
from helpers import compiled, small_network
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import genophen

IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def with_biases() -> nn.Sequential:
    network = small_network()
    with torch.no_grad():
        network[0].bias.fill_(5)
        network[3].bias.fill_(5)
    return network


@pytest.mark.parametrize("genotype", ["hypernetwork", "cppn", "direct"])
@pytest.mark.parametrize("base", [None, "initial"])
def test_biases_keep_the_networks_values_and_are_trained(genotype: str, base: str | None) -> None:
    phenotype = genophen.compile(with_biases(), ["0.weight", "3.weight"], genotype, base=base)
    assert phenotype.materialize()[0].bias.eq(5).all()
    phenotype(IMAGES).square().sum().backward()
    torch.optim.SGD(phenotype.parameters(), lr=0.1).step()
    assert not phenotype.materialize()[3].bias.eq(5).any()


def test_biases_are_held_at_zero_or_free_where_that_is_asked_for() -> None:
    held = genophen.compile(with_biases(), ["0.weight"], conv_bias=False)
    assert held.held_at_zero() == ["0.bias"]
    assert not held.materialize()[0].bias.any()
    free = genophen.compile(with_biases(), ["0.weight"], conv_bias=True)
    assert "genotype.biases.bias_0" in dict(free.named_parameters())
    kept = genophen.compile(with_biases(), ["0.weight"])
    assert torch.equal(kept.weights()["0.weight"], held.weights()["0.weight"])


@pytest.mark.parametrize("genotype", ["hypernetwork", "cppn", "direct", "random-projection"])
def test_a_residual_begins_as_the_network_and_moves_as_the_genotype(genotype: str) -> None:
    network = small_network()
    patterns = ["0.weight", "3.weight", "5.weight", "7.weight"]
    residual = genophen.compile(network, patterns, genotype, base="initial", seed=3)
    assert torch.equal(residual.eval()(IMAGES), network.eval()(IMAGES))
    alone = genophen.compile(network, patterns, genotype, seed=3)
    assert residual.parameter_counts() == alone.parameter_counts()
    start = {name: weight.detach().clone() for name, weight in alone.weights().items()}
    for phenotype in (residual, alone):
        with torch.no_grad():
            for name in phenotype.genes("genotype"):
                phenotype.get_parameter(name).mul_(1.5).add_(0.1)
    for name, weight in residual.weights().items():
        expected = network.get_parameter(name) + alone.weights()[name] - start[name]
        torch.testing.assert_close(weight, expected)
        if name.endswith("weight"):
            assert not torch.equal(weight, network.get_parameter(name))


def test_a_residual_is_searched_saved_and_copied_like_any_phenotype() -> None:
    residual = compiled(base="initial", embedding_dim=4).eval()
    embeddings = residual.genes("embeddings")
    assert embeddings == [f"genotype.genotype.generators.{size}.embeddings" for size in ("3x3", "5x5", "1x1")]
    population = genophen.Population(residual, embeddings)
    candidates = population.center() + 0.1 * torch.randn(3, population.num_genes)
    together = population.logits(candidates, IMAGES)
    population.assign(candidates[1])
    with torch.no_grad():
        torch.testing.assert_close(together[1], residual(IMAGES))
    another = residual.materialize()
    nn.init.normal_(another[0].weight)  # what it was built with comes with the state
    patterns = ["0.weight", "3.weight", "5.weight"]
    other = genophen.compile(another, patterns, base="initial", embedding_dim=4, seed=8)
    other.load_state_dict(residual.state_dict())
    assert torch.equal(other.eval()(IMAGES), residual(IMAGES))
    assert torch.equal(pickle.loads(pickle.dumps(residual))(IMAGES), residual(IMAGES))
    double = compiled(base="initial").double().eval()
    assert double(IMAGES.double()).dtype == torch.float64


def test_another_base_is_refused() -> None:
    with pytest.raises(genophen.ConfigError, match="base='initail'"):
        compiled(base="initail")


@pytest.mark.parametrize(
    ("scope", "said"), [("embedding", "did you mean embeddings?"), ("genotypes", "did you mean genotype?")]
)
def test_a_misspelt_scope_of_genes_is_refused(scope: Any, said: str) -> None:
    phenotype = compiled(embedding_dim=4)
    with pytest.raises(genophen.ConfigError) as caught:
        phenotype.genes(scope)
    assert f"cannot select the genes {scope!r}" in str(caught.value)
    assert "embeddings, generator, genotype, all" in str(caught.value)
    assert said in str(caught.value)
    for genotype in ("hypernetwork", "cppn", "mlp-hypernetwork"):
        with pytest.raises(genophen.ConfigError, match=f"has no {scope}"):
            compiled(genotype=genotype).genotype.genes(scope)


def test_a_genotype_with_more_numbers_than_it_writes_is_warned_of() -> None:
    network = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 32, 3))
    with pytest.warns(UserWarning, match="hypernetwork has more numbers than it writes: 3,732 for 216"):
        genophen.compile(network, ["0.weight"], embedding_dim=4, projection_dim=16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        genophen.compile(network, ["0.weight"], "direct")
        compiled(embedding_dim=4, projection_dim=4)


def test_a_summary_says_what_is_written_and_from_how_many_numbers() -> None:
    lines = compiled(embedding_dim=4, projection_dim=4).summary().splitlines()
    kernel = compiled(embedding_dim=4, projection_dim=4).parameter_counts().kernel
    assert lines[0] == (
        f"hypernetwork writes 17,271 numbers of the network from {kernel:,} of its own "
        f"({17271 / kernel:.3g} for each)"
    )
    assert lines[2].split() == ["parameter", "kind", "shape", "numbers"]
    assert lines[3].split() == ["0.weight", "conv", "20", "x", "3", "x", "3", "x", "3", "540"]
    assert lines[5].split() == ["5.weight", "conv", "7", "x", "33", "x", "1", "x", "1", "231"]
    assert lines[7] == "direct: 1,358 numbers, trained as they are"
    assert "base='initial' adds to them" in lines[8]
    assert "begins as the network's own weights" in compiled(genotype="direct").summary()
    assert "added to the network's own weights, which are frozen" in compiled(base="initial").summary()
    small = genophen.compile(nn.Sequential(nn.Conv2d(4, 6, 3)), ["0.weight"])
    assert "more numbers than it writes" in small.summary().splitlines()[-1]


def test_a_notebook_shows_the_summary_as_a_table() -> None:
    network = nn.Sequential()
    network.add_module("<b>", nn.Conv2d(3, 20, 3))
    shown = genophen.compile(network, ["*.weight"], "direct")._repr_html_()
    assert "<td>&lt;b&gt;.weight</td><td>conv</td><td>20 x 3 x 3 x 3</td><td>540</td>" in shown
    assert "direct writes 560 numbers" in shown


def test_an_expressed_attribute_says_what_it_is() -> None:
    phenotype = compiled(embedding_dim=4)
    assert "0.weight, (20, 3, 3, 3), is written by the genotype" in repr(phenotype.network[0].weight)
    with pytest.raises(
        AttributeError, match=r"no 'data' of <0\.weight.*phenotype\.weights\(\)\['0\.weight'\]"
    ):
        print(phenotype.network[0].weight.data)
    with pytest.raises(genophen.GenophenError, match="cannot run conv2d outside the phenotype"):
        phenotype.network(IMAGES)
    recurrent = genophen.compile(nn.Sequential(nn.GRU(3, 4)), ["0.weight*"])
    with pytest.raises(AttributeError, match=r"'dtype' of <0\.weight_ih_l0, .* is written by the genotype"):
        recurrent.network(torch.randn(5, 2, 3))


class Checkpointed(nn.Module):
    """Two convolutions and a recurrent layer that run again in the backward pass."""

    def __init__(self, use_reentrant: bool | None) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 20, 3, padding=1), nn.Conv2d(20, 20, 3, padding=1)
        self.rows, self.dense = nn.GRU(20 * 6, 8, batch_first=True), nn.Linear(8, 5)
        self.use_reentrant = use_reentrant

    def forward(self, images: Tensor) -> Tensor:
        if self.use_reentrant is None:
            return self.dense(self.features(images))
        return self.dense(checkpoint(self.features, images, use_reentrant=self.use_reentrant))

    def features(self, images: Tensor) -> Tensor:
        maps = self.conv2(self.conv1(images).relu()).relu()  # (N, C, H, W)
        _, last = self.rows(maps.transpose(1, 2).flatten(2))
        return last[0]


def gradients(use_reentrant: bool | None, passes: int) -> list[Tensor]:
    torch.manual_seed(0)
    phenotype = genophen.compile(Checkpointed(use_reentrant), ["conv*.weight", "rows.weight*"])
    images = IMAGES.clone().requires_grad_()
    outputs = [phenotype((index + 1) * images).square().sum() for index in range(passes)]
    torch.stack(outputs).sum().backward()
    assert "written by the genotype" in repr(phenotype.network.conv1.weight)
    assert phenotype.samples.backward_samples == 4 * passes
    return [parameter.grad for parameter in phenotype.parameters()]


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("passes", [1, 2])
def test_gradient_checkpointing_gives_the_same_gradients(use_reentrant: bool, passes: int) -> None:
    torch.testing.assert_close(gradients(use_reentrant, passes), gradients(None, passes))


@pytest.mark.parametrize("genotype", ["hypernetwork", "cppn", "direct"])
def test_torch_compile_takes_a_phenotype_as_one_graph(genotype: str) -> None:
    phenotype = compiled(genotype=genotype)
    expected = phenotype.eval()(IMAGES)
    expected.square().sum().backward()
    by_name = {name: parameter.grad for name, parameter in phenotype.named_parameters()}
    phenotype.zero_grad()
    torch._dynamo.reset()
    found = torch.compile(phenotype, fullgraph=True, backend="aot_eager")(IMAGES)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    for name, parameter in phenotype.named_parameters():
        torch.testing.assert_close(parameter.grad, by_name[name])
    assert (phenotype.samples.forward_samples, phenotype.samples.backward_samples) == (8, 8)

"""Population evaluation against one candidate after the other, in the phenotype itself."""

from __future__ import annotations

import pytest
import torch
from helpers import candidates_of, compiled, one_by_one, shipped
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen.population.kernels import find_basis, find_factors
from genophen.population.population import Population

SHIPPED = ["mnist-cnn", "vgg-block1", "vgg-block2", "vgg-block3"]


def assert_equal_to_one_by_one(
    phenotype: genophen.Phenotype, scope: str, count: int, x: Tensor
) -> Population:
    population = Population(phenotype, phenotype.genes(scope))  # type: ignore[arg-type]
    candidates = candidates_of(population, count)
    expected = one_by_one(phenotype, population, candidates, x)
    logits = population.logits(candidates, x)
    assert logits.shape == expected.shape
    spread = (expected - expected.mean()).abs().max()
    assert (logits - expected).abs().max() <= 2e-5 * spread
    if count > 1:
        assert (logits[0] - logits[1]).abs().max() > 1e-3 * spread  # the candidates do differ
    return population


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("scope", ["embeddings", "all"])
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_architectures(name: str, scope: str, count: int) -> None:
    phenotype, x = shipped(name)
    population = assert_equal_to_one_by_one(phenotype, scope, count, x)
    assert population.folded == (None if count == 1 else True)


@pytest.mark.parametrize("scope", ["embeddings", "generator", "genotype", "all"])
def test_genes_of_every_scope(scope: str) -> None:
    phenotype, x = shipped("mnist-cnn")
    assert_equal_to_one_by_one(phenotype, scope, 20, x)


@pytest.mark.parametrize("normalization", ["standardized", "none"])
def test_one_image(normalization: str) -> None:
    phenotype, x = shipped("mnist-cnn", normalization=normalization, conv_bias=True)
    assert_equal_to_one_by_one(phenotype, "all", 3, x[:1])
    assert_equal_to_one_by_one(phenotype, "all", 1, x[:1])


def test_batch_norm_with_statistics_of_its_own() -> None:
    phenotype = compiled(embedding_dim=3)
    for _ in range(3):
        phenotype.train()(torch.randn(8, 3, 6, 6) * 3 + 1)
    before = {name: buffer.clone() for name, buffer in phenotype.named_buffers()}
    x = torch.randn(6, 3, 6, 6)
    assert_equal_to_one_by_one(phenotype, "embeddings", 9, x)
    assert_equal_to_one_by_one(phenotype, "all", 4, x)
    assert all(torch.equal(buffer, before[name]) for name, buffer in phenotype.named_buffers())


class Residual(nn.Module):
    """What plugin authors write: shortcuts, functional calls, views, a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.dense = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = F.relu(self.norm(x))
        y = self.conv(y) * self.scale + x
        y = torch.cat([y, self.depthwise(y)], dim=1)
        y = F.avg_pool2d(y, 2).relu()
        y = y.mean((2, 3)) + y.view(y.size(0), y.shape[1], -1).amax(2)
        return self.dense(y)


class BatchMixer(Residual):
    """Looks at a batch as a whole: none may be cut into parts."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class Untraceable(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class Stateful(Residual):
    """Counts its calls in a buffer, even in eval mode, and lets that change its output."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


@pytest.mark.parametrize(("network", "folds"), [(Residual, True), (BatchMixer, True), (Untraceable, False)])
@pytest.mark.parametrize("scope", ["embeddings", "all"])
def test_networks_of_others(network: type[nn.Module], folds: bool, scope: str) -> None:
    torch.manual_seed(0)
    phenotype = genophen.compile(network(), ["conv.weight", "depthwise.weight"], embedding_dim=3)
    population = assert_equal_to_one_by_one(phenotype, scope, 7, torch.randn(6, 3, 8, 8))
    assert population.folded == folds
    assert (population.reason == "") == folds


def test_no_candidate_sees_what_another_wrote_into_a_buffer() -> None:
    torch.manual_seed(0)
    phenotype = genophen.compile(Stateful(), ["conv.weight"], embedding_dim=3)
    population = Population(phenotype, phenotype.genes("embeddings"))
    candidate = population.center()
    logits = population.logits(torch.stack([candidate, candidate + 0.1, candidate]), torch.randn(4, 3, 8, 8))
    torch.testing.assert_close(logits[0], logits[2])
    assert phenotype.network.calls == 0


def test_a_module_used_twice_and_tied_weights() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.other = nn.Conv2d(3, 3, 3, padding=1)
            self.other.weight = self.conv.weight
            self.dense = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.dense(self.other(self.conv(F.relu(self.conv(x)))).mean((2, 3)))

    torch.manual_seed(0)
    phenotype = genophen.compile(Twice(), ["conv.weight"], embedding_dim=2)
    assert_equal_to_one_by_one(phenotype, "embeddings", 6, torch.randn(4, 3, 5, 5))


@pytest.mark.parametrize("block_bytes", [1, 10_000, 10_000_000])
def test_blocks_of_any_size_give_the_same(block_bytes: int) -> None:
    phenotype, x = shipped("mnist-cnn")
    population = Population(phenotype, phenotype.genes("embeddings"), block_bytes=block_bytes)
    candidates = candidates_of(population, 12)
    expected = one_by_one(phenotype, population, candidates, x)
    torch.testing.assert_close(population.logits(candidates, x), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("scope", ["embeddings", "all"])
def test_lower_precision(scope: str) -> None:
    phenotype, x = shipped("mnist-cnn")
    population = Population(phenotype, phenotype.genes(scope), precision=torch.bfloat16)  # type: ignore[arg-type]
    candidates = candidates_of(population, 4)
    logits = population.logits(candidates, x)
    expected = one_by_one(phenotype, population, candidates, x)
    assert logits.dtype == torch.float32
    assert population.folded
    assert 0 < (logits - expected).abs().max() <= 0.03 * expected.abs().max()


def test_losses_and_features() -> None:
    phenotype, x = shipped("mnist-cnn")
    labels = torch.tensor([1, 2, 3])
    population = Population(phenotype, phenotype.genes("genotype"))
    candidates = candidates_of(population, 3)
    logits = one_by_one(phenotype, population, candidates, x)
    expected = torch.stack([F.cross_entropy(of_one, labels) for of_one in logits])
    torch.testing.assert_close(population.losses(candidates, x, labels), expected, rtol=1e-5, atol=1e-5)
    features = population.features(candidates, x, "dense")
    assert features.shape == (3, 3, 784)
    dense = phenotype.network.get_submodule("dense")
    torch.testing.assert_close(dense(features), logits, rtol=2e-5, atol=2e-5)


def test_the_phenotypes_present_numbers_are_used() -> None:
    phenotype, x = shipped("mnist-cnn")
    population = Population(phenotype, phenotype.genes("embeddings"))
    candidates = candidates_of(population, 4)
    population.logits(candidates, x)
    with torch.no_grad():
        for parameter in phenotype.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    expected = one_by_one(phenotype, population, candidates, x)
    torch.testing.assert_close(population.logits(candidates, x), expected, rtol=2e-5, atol=2e-5)


def test_every_candidate_on_every_image_is_a_sample_evaluation() -> None:
    phenotype, x = shipped("mnist-cnn")
    population = Population(phenotype, phenotype.genes("embeddings"))
    population.logits(candidates_of(population, 7), x)
    with phenotype.samples.paused():
        population.logits(candidates_of(population, 7), x)
    assert phenotype.samples.sample_evaluations == 7 * 3
    assert phenotype.samples.backward_samples == 0


def expressed(phenotype: genophen.Phenotype, population: Population, candidate: Tensor) -> Tensor:
    population.assign(candidate)
    return phenotype.genotype.express()["conv2.weight"]


def test_what_varies_within_few_dimensions_has_a_small_basis() -> None:
    phenotype, _ = shipped("mnist-cnn")
    population = Population(phenotype, phenotype.genes("embeddings"))
    with torch.no_grad():
        for parameter in phenotype.genotype.parameters():
            parameter.add_(0.01)  # biases start at zero
        written = [expressed(phenotype, population, each) for each in candidates_of(population, 40)]
        weights = torch.stack(written)  # (40, 16, 16, 7, 7)
    basis = find_basis(weights)
    assert basis is not None
    assert basis.kernels.shape == (16, 5, 16, 7, 7)  # N_z + 1, scales by standardisation included
    again = torch.einsum("por,oricd->poicd", basis.coefficients, basis.kernels)
    torch.testing.assert_close(again, weights, rtol=1e-5, atol=1e-6)
    weights[0] *= 1e9  # a candidate on its way out of the finite numbers
    basis = find_basis(weights)
    assert basis is not None
    again = torch.einsum("por,oricd->poicd", basis.coefficients, basis.kernels)
    torch.testing.assert_close(again[1:], weights[1:], rtol=1e-5, atol=1e-6)
    assert find_basis(torch.randn(40, 16, 16, 7, 7)) is None
    assert find_basis(torch.full_like(weights, torch.nan)) is None


def test_a_narrow_generators_kernels_run_on_fewer_channels() -> None:
    weights = torch.einsum("pcr,porhw->pochw", torch.randn(2, 16, 5), torch.randn(2, 8, 5, 3, 3))
    factors = find_factors(weights)
    assert factors is not None
    assert factors.mix.shape == (2, 5, 16, 1, 1)
    product = torch.einsum("prc,porhw->pochw", factors.mix[..., 0, 0], factors.kernels)
    torch.testing.assert_close(product, weights, rtol=1e-5, atol=1e-5)
    conv, x, bias = nn.Conv2d(16, 8, 3, stride=2, padding=1), torch.randn(2, 4, 16, 9, 9), torch.randn(2, 8)
    outputs = factors.convolve(x[1:], slice(1, 2), bias[1:], conv)
    expected = F.conv2d(x[1], weights[1], bias[1], stride=2, padding=1)
    torch.testing.assert_close(outputs[0], expected, rtol=1e-4, atol=1e-4)
    # One candidate of full rank, or one that is not finite, and all run as they are.
    weights[1] = torch.randn(8, 16, 3, 3)
    assert find_factors(weights) is None
    weights[1] = torch.nan
    assert find_factors(weights) is None


def test_candidates_that_are_not_finite_spoil_no_other() -> None:
    phenotype, x = shipped("mnist-cnn")
    population = Population(phenotype, phenotype.genes("embeddings"))
    candidates = candidates_of(population, 12)
    good = population.logits(candidates, x)
    candidates[3, 0] = torch.nan
    logits = population.logits(candidates, x)
    assert not torch.isfinite(logits[3]).all()
    rest = [p for p in range(12) if p != 3]
    torch.testing.assert_close(logits[rest], good[rest], rtol=2e-5, atol=2e-5)


def test_wrong_names_and_shapes_are_named() -> None:
    phenotype, x = shipped("mnist-cnn")
    with pytest.raises(genophen.ConfigError, match=r"no parameter 'genotype\.nonsense'"):
        Population(phenotype, ["genotype.nonsense"])
    with pytest.raises(genophen.ConfigError, match="no genes"):
        Population(phenotype, [])
    population = Population(phenotype, phenotype.genes("embeddings"))
    with pytest.raises(genophen.ConfigError, match=r"(?s)shape \(3, 5\).*\(P, 4\)"):
        population.logits(torch.zeros(3, 5), x)


def test_the_grouped_convolution_of_other_devices() -> None:
    from genophen.population import layers

    torch.manual_seed(0)
    x, conv = torch.randn(3, 4, 6, 9, 9), nn.Conv2d(6, 4, 3, padding=1, stride=2, groups=2)
    weight, bias = torch.randn(3, 4, 3, 3, 3), torch.randn(3, 4)
    loop = layers.convolution(x, weight, bias, conv)
    expected = torch.stack([F.conv2d(x[p], weight[p], bias[p], 2, 1, 1, 2) for p in range(3)])
    torch.testing.assert_close(loop, expected)
    torch.testing.assert_close(
        layers.grouped_convolution(x, weight, conv) + bias.view(3, 1, 4, 1, 1), expected
    )


def test_a_whole_population_is_not_assigned() -> None:
    population = genophen.Population(compiled(), "embeddings")
    with pytest.raises(genophen.ConfigError, match=rf"shape \(3, {population.num_genes}\)\n.*one candidate"):
        population.assign(population.center().repeat(3, 1))

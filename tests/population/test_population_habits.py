"""Population evaluation of networks with the habits of other authors' code."""

from __future__ import annotations

import pytest
import torch
from helpers import candidates_of, compiled, one_by_one, shipped
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen.population.population import Population


class Plain(nn.Module):
    """A shared and an expressed convolution, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.dense = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(torch.cat([self.features(x)] * 2, 1))

    def features(self, x: Tensor) -> Tensor:
        return self.conv(self.stem(x)).amax((2, 3))


class Flattened(Plain):
    """What most networks do between convolutions and dense layers."""

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(self.stem(x)))
        return x.view(x.size(0), -1)[:, :8]


class Clamped(Plain):
    """Changes a tensor in place, which shows with large activations alone."""

    def features(self, x: Tensor) -> Tensor:
        x = self.conv(self.stem(x))
        x.clamp_(max=6.0)
        return x.amax((2, 3))


class Squeezed(Plain):
    """Loses the axis of a single image."""

    def features(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.conv(self.stem(x)), 1).squeeze()


class ByKeyword(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.dense(input=torch.cat([self.features(x)] * 2, 1))


class Stateful(Plain):
    """Counts its calls in a buffer, even in eval mode, and lets that change its output."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.ones(()))

    def features(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().features(x) * self.calls


class WithBuffer(Plain):
    """Computes with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.ones(8))

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) + self.shift * 2


@pytest.mark.parametrize("network", [Flattened, Clamped, Squeezed, ByKeyword, WithBuffer, Stateful])
@pytest.mark.parametrize("scope", ["embeddings", "all"])
def test_habits_of_others(network: type[nn.Module], scope: str) -> None:
    torch.manual_seed(0)
    phenotype = genophen.compile(network(), ["conv.weight"], embedding_dim=3)
    population = Population(phenotype, phenotype.genes(scope))  # type: ignore[arg-type]
    candidates, x = candidates_of(population, 12), 5 * torch.randn(251, 3, 5, 5)
    outputs = []
    for candidate in candidates:
        outputs.append(one_by_one(phenotype, population, candidate[None], x))
        for buffer in phenotype.network.buffers():
            buffer.fill_(1)  # as it was, or another call would count
    expected = torch.cat(outputs)
    for _ in range(2):
        logits = population.logits(candidates, x)
        torch.testing.assert_close(logits, expected, rtol=0, atol=3e-5 * float(expected.abs().max()))
    assert population.features(candidates, x, "dense").shape == (12, 251, 16)


def test_buffers_that_have_changed_are_used() -> None:
    torch.manual_seed(0)
    phenotype = genophen.compile(WithBuffer(), ["conv.weight"], embedding_dim=3)
    population, x = Population(phenotype, phenotype.genes("embeddings")), torch.randn(4, 3, 5, 5)
    candidates = candidates_of(population, 3)
    population.logits(candidates, x)
    phenotype.get_buffer("network.shift").add_(3)
    expected = one_by_one(phenotype, population, candidates, x)
    torch.testing.assert_close(population.logits(candidates, x), expected, rtol=2e-5, atol=2e-5)


def test_how_candidates_run_depends_on_none_of_them() -> None:
    """An interrupted run, which goes on with others, is to round as it would have."""
    phenotype, x = shipped("mnist-cnn")
    usual, odd = (Population(phenotype, phenotype.genes("embeddings")) for _ in range(2))
    candidates = candidates_of(usual, 12)
    expected = usual.logits(candidates, x)
    random = torch.get_rng_state()
    odd.logits(candidates * torch.nan, x)
    odd.logits(candidates[:1], x)
    assert torch.equal(odd.logits(candidates, x), expected)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_network_that_draws_is_not_tried_with_the_runs_own_random_numbers() -> None:
    class Noisy(Plain):
        def features(self, x: Tensor) -> Tensor:
            return super().features(x) + torch.rand(8)

    torch.manual_seed(0)
    phenotype = genophen.compile(Noisy(), ["conv.weight"], embedding_dim=3)
    population, x = Population(phenotype, phenotype.genes("embeddings")), torch.randn(4, 3, 5, 5)
    outputs = []
    for _ in range(2):
        torch.manual_seed(1)
        outputs.append(population.logits(candidates_of(population, 3), x))
    assert torch.equal(*outputs)


def test_one_candidate_first_then_several() -> None:
    class AddsInPlace(Plain):
        def features(self, x: Tensor) -> Tensor:
            return self.conv(self.stem(x).add_(self.scale)).amax((2, 3))

    torch.manual_seed(0)
    phenotype = genophen.compile(AddsInPlace(), ["conv.weight"], embedding_dim=3)
    population, x = Population(phenotype, ["network.scale"]), torch.randn(4, 3, 5, 5)
    candidates = candidates_of(population, 4)
    population.logits(candidates[:1], x)
    expected = one_by_one(phenotype, population, candidates, x)
    torch.testing.assert_close(population.logits(candidates, x), expected, rtol=2e-5, atol=2e-5)


def test_genes_may_be_given_as_a_scope() -> None:
    phenotype = compiled()
    population = genophen.Population(phenotype, "embeddings")
    assert list(population.genes) == phenotype.genes("embeddings")
    (name, *_) = phenotype.genes("generator")
    assert list(genophen.Population(phenotype, name).genes) == [name]
    with pytest.raises(genophen.ConfigError, match="did you mean embeddings") as caught:
        genophen.Population(phenotype, "embedings")
    assert "no such scope" in caught.value.found

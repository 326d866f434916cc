"""The encodings low-rank, dct, random-projection and mlp-hypernetwork against their equations."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers import compiled, digits_tables, plugin_class
from scipy.fft import idctn
from scipy.linalg import hadamard
from torch import Tensor, nn

import genophen
from genophen.testing import check_genotype

ENCODINGS = ["low-rank", "dct", "random-projection", "mlp-hypernetwork"]
KERNELS = ["0.weight", "3.weight", "5.weight"]
SHAPES = {"0.weight": (20, 3, 3, 3), "3.weight": (33, 20, 5, 5), "5.weight": (7, 33, 1, 1)}
NUMBERS = {name: math.prod(shape) for name, shape in SHAPES.items()}


def generated(genotype: str, **options: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """A genotype in float64, and what it writes before it is scaled by sqrt(2 / fan_in)."""
    phenotype = compiled(genotype=genotype, normalization="none", **options).double()
    with torch.no_grad():
        for parameter in phenotype.genotype.parameters():  # away from zeros
            parameter.add_(0.1 * torch.randn(parameter.shape, dtype=torch.float64))
        weights = phenotype.weights()
    return phenotype.genotype, {
        name: weights[name] * math.sqrt(math.prod(shape[1:]) / 2) for name, shape in SHAPES.items()
    }


def test_low_rank_kernels_are_sums_of_products() -> None:
    genotype, weights = generated("low-rank", rank=(2, 3, 4))
    factors = zip(genotype.outputs, genotype.inputs, strict=True)
    for (name, (c_out, c_in, kh, kw)), (outputs, inputs) in zip(SHAPES.items(), factors, strict=True):
        u, v = outputs.detach().view(c_out, kh, -1), inputs.detach().view(-1, c_in, kw)
        torch.testing.assert_close(weights[name], torch.einsum("oyk,kix->oiyx", u, v), rtol=1e-12, atol=1e-12)
    assert [len(v) for v in genotype.inputs] == [2, 3, 4]


def test_low_rank_has_no_more_columns_than_the_matrix() -> None:
    genotype, _ = generated("low-rank", rank=30)
    assert [len(v) for v in genotype.inputs] == [9, 30, 7]  # of matrices 60x9, 165x100 and 7x33
    with pytest.raises(genophen.ConfigError, match=r"rank has 2 numbers[\s\S]*3, one for each"):
        compiled(genotype="low-rank", rank=[2, 3])


def test_dct_kernels_are_inverse_cosine_transforms() -> None:
    genotype, weights = generated("dct", num_coefficients=1000)
    for (name, shape), coefficients in zip(SHAPES.items(), genotype.coefficients, strict=True):
        lowest = sorted(np.ndindex(shape), key=sum)[: len(coefficients)]  # stable, the last axis fastest
        spectrum = np.zeros(shape)
        for place, value in zip(lowest, coefficients.tolist(), strict=True):
            spectrum[place] = value
        expected = idctn(spectrum, norm="ortho") * math.sqrt(NUMBERS[name] / len(coefficients))
        np.testing.assert_allclose(weights[name].numpy(), expected, rtol=1e-10, atol=1e-12)


def test_dct_coefficients_are_shared_out_by_size() -> None:
    genotype, _ = generated("dct", num_coefficients=1000)
    total = sum(NUMBERS.values())
    assert [len(c) for c in genotype.coefficients] == [round(1000 * n / total) for n in NUMBERS.values()]
    all_of_them, _ = generated("dct", num_coefficients=10**6)
    assert [len(c) for c in all_of_them.coefficients] == list(NUMBERS.values())
    few, _ = generated("dct", num_coefficients=1)
    assert [len(c) for c in few.coefficients] == [1, 1, 1]


def test_random_projections_are_those_of_the_formula() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(20, 7))  # 135 and 140 weights
    options: dict[str, Any] = {"normalization": "none", "intrinsic_dim": 30}
    phenotype = genophen.compile(network, "*.weight", "random-projection", **options).double()
    genotype = phenotype.genotype
    with torch.no_grad():
        assert not genotype.z.any()
        genotype.z += torch.randn(30, dtype=torch.float64)
        weights = phenotype.weights()
    h = torch.from_numpy(hadamard(512)).double()
    order = torch.eye(512, dtype=torch.float64)[genotype.order]
    p = h @ torch.diag(genotype.normal) @ order @ h[:, :30] @ torch.diag(genotype.signs)
    p = p[:275] / (math.sqrt(30) * genotype.normal.norm())
    expected = genotype.start + p @ genotype.z.detach()
    found = [weights["0.weight"] * math.sqrt(27 / 2), weights["2.weight"] * math.sqrt(20 / 2)]
    torch.testing.assert_close(torch.cat([w.flatten() for w in found]), expected, rtol=1e-10, atol=1e-10)
    assert float(p.square().sum(0).mean()) == pytest.approx(275 / 30, rel=0.1)  # variance 1 / d


def test_a_random_projection_is_saved_as_its_seed() -> None:
    phenotype = compiled(genotype="random-projection", intrinsic_dim=300, seed=1)
    assert {name: value.numel() for name, value in phenotype.genotype.state_dict().items()} == {
        "z": 300,
        "seed": 1,
    }
    other = compiled(genotype="random-projection", intrinsic_dim=300, seed=2)
    assert not torch.equal(phenotype.weights()["0.weight"], other.weights()["0.weight"])
    other.load_state_dict(phenotype.state_dict())
    assert torch.equal(phenotype.weights()["0.weight"], other.weights()["0.weight"])


@pytest.mark.parametrize("encoding", ["plain", "magnitude-invariant"])
def test_an_mlp_hypernetwork_writes_chunk_after_chunk(encoding: str) -> None:
    options = {"embedding_dim": 3, "hidden_units": 5, "chunk_size": 50, "encoding": encoding}
    genotype, weights = generated("mlp-hypernetwork", **options)
    embeddings = iter(genotype.embeddings.detach())
    for name, numbers in NUMBERS.items():
        chunks = []
        for z in itertools.islice(embeddings, math.ceil(numbers / 50)):
            angle = math.pi / 2 * z
            e = z if encoding == "plain" else torch.cat([torch.cos(angle), torch.sin(angle)])
            hidden = (genotype.weight_in @ e + genotype.bias_in).clamp_min(0)
            chunks.append(genotype.weight_out @ hidden + genotype.bias_out)
        expected = torch.cat(chunks)[:numbers].view(SHAPES[name]).detach()
        torch.testing.assert_close(weights[name], expected, rtol=1e-12, atol=1e-12)
    assert next(embeddings, None) is None


@pytest.mark.parametrize(
    ("genotype", "options", "kernel"),
    [
        ("low-rank", {"rank": 19}, 19 * (16 * 7 + 16 * 7)),
        ("dct", {"num_coefficients": 4244}, 4244),
        ("random-projection", {"intrinsic_dim": 4244}, 4244),
        (
            "mlp-hypernetwork",
            {"embedding_dim": 8, "hidden_units": 37, "chunk_size": 49},
            256 * 8 + 37 * (8 + 1) + 49 * (37 + 1),
        ),
        (
            "mlp-hypernetwork",
            {"embedding_dim": 8, "hidden_units": 37, "chunk_size": 49, "encoding": "magnitude-invariant"},
            256 * 8 + 37 * (16 + 1) + 49 * (37 + 1),
        ),
    ],
)
def test_counts_on_mnist_cnn(genotype: str, options: dict[str, Any], kernel: int) -> None:
    architecture = plugin_class("architecture", "mnist-cnn")()
    options["conv_bias"] = False
    phenotype = genophen.compile(architecture.build(), architecture.expressed(), genotype, **options)
    counts = phenotype.parameter_counts()
    assert (counts.kernel, counts.total) == (kernel, kernel + 8650)
    embeddings = 256 * 8 if genotype == "mlp-hypernetwork" else 0
    assert counts.embedding == embeddings
    assert counts.generator == (kernel - embeddings if embeddings else 0)
    assert phenotype.held_at_zero() == ["conv2.bias"]


@pytest.mark.parametrize(
    ("genotype", "options"),
    [*((name, {}) for name in ENCODINGS), ("mlp-hypernetwork", {"encoding": "magnitude-invariant"})],
)
def test_weights_start_at_variance_2_over_fan_in_without_normalization(
    genotype: str, options: dict[str, Any]
) -> None:
    scaled: dict[str, list[Tensor]] = {name: [] for name in KERNELS}
    for seed in range(20):
        phenotype = compiled(genotype=genotype, normalization="none", seed=seed, **options)
        for name, weight in phenotype.weights().items():
            if name in scaled:
                scaled[name].append(weight.detach().square().mean() * weight[0].numel())
    for name, squares in scaled.items():
        assert torch.stack(squares).mean().item() == pytest.approx(2, rel=0.2), name


@pytest.mark.parametrize("genotype", ENCODINGS)
def test_standardized_weights_have_variance_2_over_fan_in(genotype: str) -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(), nn.Linear(64, 50))
    for weight in genophen.compile(network, "*.weight", genotype).double().weights().values():
        if weight.dim() > 1:
            rows = weight.flatten(1)
            torch.testing.assert_close(rows.mean(1), torch.zeros_like(rows[:, 0]), atol=1e-9, rtol=0)
            expected = torch.full_like(rows[:, 0], 2 / rows.shape[1])
            torch.testing.assert_close(rows.var(1, correction=0), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("genotype", ENCODINGS)
def test_gradients_reach_every_number(genotype: str) -> None:
    phenotype = compiled(genotype=genotype, conv_bias=True)
    nn.functional.cross_entropy(phenotype(torch.randn(8, 3, 6, 6)), torch.arange(8) % 5).backward()
    for name, parameter in phenotype.genotype.named_parameters():
        assert parameter.grad is not None, name
        if "biases.bias_0" not in name:  # the batch norm after it takes it away again
            assert bool((parameter.grad != 0).float().mean() > 0.9), name


def test_scopes_of_genes() -> None:
    mlp = compiled(genotype="mlp-hypernetwork", conv_bias=True).genotype
    assert mlp.genes("embeddings") == ["embeddings"]
    assert mlp.genes("generator") == ["weight_in", "bias_in", "weight_out", "bias_out"]
    assert mlp.genes("genotype") == [name for name, _ in mlp.named_parameters()]
    for name in ("low-rank", "dct", "random-projection"):
        with pytest.raises(genophen.ConfigError, match=f"{name} has no embeddings"):
            compiled(genotype=name).genes("embeddings")


@pytest.mark.parametrize("genotype", ENCODINGS)
def test_they_keep_the_contract(genotype: str) -> None:
    check_genotype(plugin_class("genotype", genotype))


@pytest.mark.parametrize("genotype", ENCODINGS)
@pytest.mark.parametrize("architecture", ["mnist-cnn", "vgg-block1", "vgg-block2", "vgg-block3"])
def test_they_write_every_architecture(genotype: str, architecture: str) -> None:
    plugin = plugin_class("architecture", architecture)()
    phenotype = genophen.compile(plugin.build(), plugin.expressed(), genotype)
    assert set(phenotype.weights()) >= set(plugin.expressed())
    assert phenotype(torch.randn(3, *plugin.input_shape)).isfinite().all()


@pytest.mark.parametrize("genotype", ENCODINGS)
def test_they_learn_the_digits(genotype: str, tmp_path: Any) -> None:
    tables = digits_tables(rounds=5)
    tables["genotype"] = {"name": genotype}
    tables["optimizer"]["adam"] = {"learning_rate": 0.005}
    result = genophen.run(tables, out=tmp_path / "run")
    assert result["validation_accuracy"] > 0.8


@pytest.mark.parametrize("genotype", ENCODINGS)
def test_they_evolve(genotype: str, tmp_path: Any) -> None:
    tables = digits_tables(rounds=1)
    tables["genotype"] = {"name": genotype}
    search = {"readout": "ridge", "population_size": 4, "generations_per_round": 3, "separable": True}
    tables["optimizer"] = {"name": "cma-es", "cma-es": search}
    result = genophen.run(tables, out=tmp_path / "run")
    assert result["validation_accuracy"] > 0.8
    assert result["parameters"]["searched"] == result["parameters"]["kernel"]


def test_candidates_of_an_encoding_give_what_it_gives_one_by_one() -> None:
    for genotype in ENCODINGS:
        phenotype = compiled(genotype=genotype).eval()
        population = genophen.Population(phenotype, phenotype.genes("genotype"))
        center = population.center()
        candidates = center + 0.1 * torch.randn(3, len(center), generator=torch.Generator().manual_seed(0))
        images = torch.randn(4, 3, 6, 6)
        together = population.logits(candidates, images)
        for candidate, logits in zip(candidates, together, strict=True):
            population.assign(candidate)
            with torch.no_grad():
                torch.testing.assert_close(phenotype(images), logits, rtol=1e-4, atol=1e-5)

"""The genotype cppn against its formula, weight by weight, and how its kernels begin."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from genophen_plugins.genotypes import cppn
from helpers import compiled, digits_tables, plugin_class, small_network
from torch import nn

import genophen
from genophen.testing import check_genotype


def by_formula(genotype: nn.Module, layer: int, place: tuple[int, ...], shape: tuple[int, ...]) -> float:
    """One weight, from the coordinates of its place (o, i, y, x) in a kernel of that shape."""
    middle = [index - (size - 1) / 2 for index, size in zip(place, shape, strict=True)]
    y, x = middle[2] / (shape[2] / 2), middle[3] / (shape[3] / 2)
    coordinates = [layer / 8, middle[0] / 8, middle[1] / 8, y, x, math.hypot(y, x)]
    values = genotype.weight_in @ torch.tensor(coordinates, dtype=torch.float64) + genotype.bias_in
    layers = zip(genotype.hidden_weights, genotype.hidden_biases, strict=True)
    for weight, bias in [*layers, (None, None)]:
        quarter = len(values) // 4
        activations = [torch.sin, torch.cos, lambda a: torch.exp(-a * a), torch.tanh]
        values = torch.stack([activations[j // quarter](value) for j, value in enumerate(values)])
        if weight is not None:
            values = weight @ values + bias
    return float(genotype.weight_out @ values)


@pytest.mark.parametrize("hidden_layers", [1, 2, 3])
def test_weights_are_those_of_the_formula(hidden_layers: int) -> None:
    phenotype = compiled(genotype="cppn", hidden_layers=hidden_layers, normalization="none").double()
    with torch.no_grad():
        weights = phenotype.weights()
        for layer, name in enumerate(["0.weight", "3.weight", "5.weight"]):
            shape = tuple(weights[name].shape)
            scale = math.sqrt(2 / weights[name][0].numel())
            for place in [(0, 0, 0, 0), tuple(size - 1 for size in shape), (4, 2, 0, shape[3] - 1)]:
                expected = scale * by_formula(phenotype.genotype, layer, place, shape)
                assert float(weights[name][place]) == pytest.approx(expected, rel=1e-9)


def test_a_dense_weight_after_a_flatten_stands_where_its_input_stood_in_the_image() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4 * 5, 7), nn.Linear(7, 3)
    )
    options: dict[str, Any] = {"input_shape": (1, 6, 7), "normalization": "none"}
    phenotype = genophen.compile(network, ["3.weight", "4.weight"], "cppn", **options).double()
    with torch.no_grad():
        weights = phenotype.weights()
        first, second = weights["3.weight"].view(7, 6, 4, 5), weights["4.weight"].view(3, 7, 1, 1)
        for place in [(0, 0, 0, 0), (6, 5, 3, 4), (2, 3, 1, 4)]:
            expected = math.sqrt(2 / 120) * by_formula(phenotype.genotype, 0, place, (7, 6, 4, 5))
            assert float(first[place]) == pytest.approx(expected, rel=1e-9)
        expected = math.sqrt(2 / 7) * by_formula(phenotype.genotype, 1, (2, 5, 0, 0), (3, 7, 1, 1))
        assert float(second[2, 5, 0, 0]) == pytest.approx(expected, rel=1e-9)
    # Without an image's shape the input is a row of 120 numbers.
    flat = genophen.compile(network, ["3.weight"], "cppn", normalization="none")
    assert flat.targets["3.weight"].image is None
    assert not torch.allclose(flat.weights()["3.weight"], weights["3.weight"].float())


def test_large_kernels_are_computed_in_parts_with_the_same_gradients(monkeypatch: Any) -> None:
    def gradients() -> list[torch.Tensor]:
        phenotype = compiled(genotype="cppn").double()
        draws = torch.Generator().manual_seed(0)
        total = sum(
            (w * torch.randn(w.shape, generator=draws, dtype=w.dtype)).sum()
            for w in phenotype.weights().values()
        )
        parameters = list(phenotype.genotype.parameters())
        return [total.detach(), *torch.autograd.grad(total, parameters)]

    whole = gradients()
    calls = []
    respond = cppn._respond
    monkeypatch.setattr(cppn, "MAX_ACTIVATIONS", 7 * 16 * 20 * 25)
    monkeypatch.setattr(cppn, "_respond", lambda *a: calls.append(len(a[0][0])) or respond(*a))
    parts = gradients()
    assert {7, 33 % 7} <= set(calls)  # output channels of the 5x5 convolution, seven at a time
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)


def test_kernels_begin_smooth_and_differ_from_channel_to_channel() -> None:
    network = nn.Sequential(nn.Conv2d(16, 16, 7), nn.Conv2d(16, 64, 7))
    written = [genophen.compile(network, "*.weight", "cppn", seed=seed).weights() for seed in range(10)]
    for name in ("0.weight", "1.weight"):
        weight = torch.stack([weights[name].detach() for weights in written])  # (10, C_out, C_in, kh, kw)
        assert correlation(weight[..., 1:], weight[..., :-1]) > 0.8
        assert correlation(weight[..., 1:, :], weight[..., :-1, :]) > 0.8
        assert abs(correlation(weight[:, 1:], weight[:, :-1])) < 0.3
        assert abs(correlation(weight[:, :, 1:], weight[:, :, :-1])) < 0.3


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_kernels_start_near_variance_2_over_fan_in_without_normalization(hidden_layers: int) -> None:
    network = nn.Sequential(nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(64, 50))
    scaled = []
    for seed in range(20):
        weights = genophen.compile(
            network, "*.weight", "cppn", seed=seed, normalization="none", hidden_layers=hidden_layers
        ).weights()
        scaled += [weights["0.weight"].square().mean() * 144, weights["2.weight"].square().mean() * 64]
    assert torch.stack(scaled).mean().item() == pytest.approx(2, rel=0.25)


def test_standardized_weights_have_variance_2_over_fan_in() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(), nn.Linear(64, 50))
    for weight in genophen.compile(network, "*.weight", "cppn").double().weights().values():
        if weight.dim() > 1:
            rows = weight.flatten(1)
            torch.testing.assert_close(rows.mean(1), torch.zeros_like(rows[:, 0]), atol=1e-9, rtol=0)
            expected = torch.full_like(rows[:, 0], 2 / rows.shape[1])
            torch.testing.assert_close(rows.var(1, correction=0), expected, rtol=1e-4, atol=0)


def test_counts_and_genes() -> None:
    free = genophen.compile(small_network(), ["0.weight", "3.weight"], "cppn", conv_bias=True)
    counts = free.parameter_counts()
    one_network = 16 * 6 + 16 + 16 * 16 + 16 + 16
    assert (counts.embedding, counts.generator, counts.kernel) == (0, one_network, one_network + 20 + 33)
    assert free.genotype.genes("generator") == [
        "weight_in", "bias_in", "weight_out", "hidden_weights.0", "hidden_biases.0",
    ]  # fmt: skip
    with pytest.raises(genophen.ConfigError, match="cppn has no embeddings"):
        free.genes("embeddings")
    held = genophen.compile(small_network(), ["0.weight", "3.weight"], "cppn", conv_bias=False)
    assert held.held_at_zero() == ["0.bias", "3.bias"]
    assert held.parameter_counts().kernel == one_network


def test_gradients_reach_every_number() -> None:
    phenotype = compiled(genotype="cppn", conv_bias=True)
    nn.functional.cross_entropy(phenotype(torch.randn(8, 3, 6, 6)), torch.arange(8) % 5).backward()
    for name, parameter in phenotype.genotype.named_parameters():
        assert parameter.grad is not None, name
        if "biases.bias_0" not in name:  # the batch norm after it takes it away again
            assert bool((parameter.grad != 0).all()), name


def test_units_come_in_fours() -> None:
    with pytest.raises(genophen.ConfigError, match="multiple of 4"):
        compiled(genotype="cppn", hidden_units=6)


def test_it_keeps_the_contract() -> None:
    check_genotype(plugin_class("genotype", "cppn"))


def test_it_learns_the_digits(tmp_path: Any) -> None:
    tables = digits_tables(rounds=5)
    tables["genotype"] = {"name": "cppn"}
    tables["optimizer"]["adam"] = {"learning_rate": 0.005}
    result = genophen.run(tables, out=tmp_path / "run")
    assert result["validation_accuracy"] > 0.8
    assert result["parameters"]["kernel"] == 400

"""The hypernetwork against the report's equations, and what it does with odd shapes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from genophen_plugins.genotypes import hypernetwork
from helpers import compiled, plugin_class, shipped, small_network
from sklearn.datasets import load_digits
from torch import Tensor, nn

import genophen
from genophen.testing import check_genotype


def loops(generator: nn.Module) -> list[Tensor]:
    """Every block of a generator by the report's equations, one input channel at a time."""
    blocks = []
    for z in generator.embeddings:
        slices = []
        for w_i, b_i in zip(generator.weight_in, generator.bias_in, strict=True):
            a_i = w_i @ z + b_i  # (d,)
            k_i = (generator.weight_out * a_i).sum(-1) + generator.bias_out  # (kh, B kw)
            kh = k_i.shape[0]
            slices.append(k_i.view(kh, generator.basis, -1).permute(1, 0, 2))  # (B, kh, kw)
        blocks.append(torch.stack(slices, dim=1))  # (B_out, B_in, kh, kw)
    return blocks


def tiled(blocks: list[Tensor], shape: tuple[int, ...], basis: int) -> Tensor:
    columns = math.ceil(shape[1] / basis)
    rows = [torch.cat(blocks[i : i + columns], dim=1) for i in range(0, len(blocks), columns)]
    return torch.cat(rows, dim=0)[: shape[0], : shape[1]]


@pytest.mark.parametrize("basis", [16, 5])
def test_the_generator_equals_the_equations_written_as_loops(basis: int) -> None:
    phenotype = compiled(
        embedding_dim=3, projection_dim=7, basis_channels=basis, normalization="none"
    ).double()
    with torch.no_grad():
        for parameter in phenotype.genotype.parameters():
            parameter.normal_()  # biases too, which start at zero
    for name, size in (("0.weight", "3x3"), ("3.weight", "5x5"), ("5.weight", "1x1")):
        written = phenotype.weights()[name]
        generator = phenotype.genotype.generators[size]
        expected = tiled(loops(generator), tuple(written.shape), basis)
        torch.testing.assert_close(written, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("many", [0, hypernetwork.MANY], ids=["in advance", "as written"])
@pytest.mark.parametrize("width", [7, 200])
def test_standardized_kernels_are_the_equations_standardized(
    width: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hypernetwork, "MANY", many)
    network = nn.Sequential(
        nn.Conv2d(7, 20, 3), nn.Conv2d(20, 9, 3), nn.Conv2d(9, 20, 3), nn.Conv2d(20, 40, 3)
    )
    options: dict[str, Any] = {"embedding_dim": 3, "projection_dim": width, "basis_channels": 5}
    phenotype = genophen.compile(network.double(), "*.weight", **options)
    generator = phenotype.genotype.generators["3x3"]
    with torch.no_grad():
        for parameter in phenotype.genotype.parameters():
            parameter.normal_()
    blocks, weights = loops(generator), phenotype.weights()
    for name, count in (("0.weight", 8), ("1.weight", 8), ("2.weight", 8), ("3.weight", 32)):
        own, blocks = blocks[:count], blocks[count:]
        expected = genophen.standardize(tiled(own, tuple(weights[name].shape), 5))
        torch.testing.assert_close(weights[name], expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(*gradients_of(generator, weights[name], expected), rtol=1e-9, atol=1e-9)


def gradients_of(generator: nn.Module, *weights: Tensor) -> list[list[Tensor]]:
    """The gradients of the same weighted sum of each of some equal weights, by the generator's tensors."""
    parameters = list(generator.parameters())
    toward = torch.randn(weights[0].shape, dtype=weights[0].dtype)
    return [list(torch.autograd.grad((w * toward).sum(), parameters, retain_graph=True)) for w in weights]


def test_layers_of_one_kernel_size_share_a_generator_and_tile_row_by_row() -> None:
    network = nn.Sequential(nn.Conv2d(16, 32, 3), nn.Conv2d(32, 48, 3))
    phenotype = genophen.compile(network, ["*.weight"], embedding_dim=2, normalization="none")
    blocks = loops(phenotype.genotype.generators["3x3"])
    assert len(blocks) == 2 + 6
    weights = phenotype.weights()
    torch.testing.assert_close(weights["0.weight"], tiled(blocks[:2], (32, 16, 3, 3), 16))
    torch.testing.assert_close(weights["1.weight"], tiled(blocks[2:], (48, 32, 3, 3), 16))
    # The second block of the second layer is its first output block's second input block.
    torch.testing.assert_close(weights["1.weight"][:16, 16:], blocks[3])


def test_standardized_kernels_have_mean_0_and_variance_2_over_fan_in_after_cropping() -> None:
    for name, weight in compiled(embedding_dim=4).double().weights().items():
        if weight.dim() == 4:
            rows = weight.flatten(1)
            torch.testing.assert_close(
                rows.mean(1), torch.zeros(len(rows), dtype=rows.dtype), atol=1e-9, rtol=0
            )
            expected = torch.full((len(rows),), math.sqrt(2 / rows.shape[1]), dtype=rows.dtype)
            torch.testing.assert_close(rows.std(1, correction=0), expected, rtol=1e-4, atol=0), name


@pytest.mark.parametrize("many", [0, hypernetwork.MANY], ids=["in advance", "as written"])
@pytest.mark.parametrize("factor", [1e-6, 1e-4, 1e-2, 1e2, 1e6])
def test_logits_do_not_depend_on_the_scale_of_the_generators_output(
    factor: float, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hypernetwork, "MANY", many)
    phenotype, images = shipped("vgg-block3", embedding_dim=16, projection_dim=16)
    with torch.no_grad():
        expected = phenotype.eval()(images)
        generator = phenotype.genotype.generators["3x3"]
        generator.weight_out.mul_(factor)
        generator.bias_out.mul_(factor)
        found = phenotype(images)
    assert expected.abs().max() > 0.05
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.slow
def test_training_with_standardized_kernels_bears_a_tenth_of_the_scale() -> None:
    whole = [accuracy_on_digits(seed, 1.0) for seed in range(3)]
    tenth = [accuracy_on_digits(seed, 0.1) for seed in range(3)]
    assert min(whole + tenth) > 0.9
    assert abs(sum(tenth) - sum(whole)) / 3 < 0.015, (whole, tenth)  # seeds alone differ by twice that


def accuracy_on_digits(seed: int, factor: float) -> float:
    """Test accuracy after 120 steps on the digits, the generator's output `factor` times as large."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 0.6
    x, y = nn.functional.pad(nn.functional.interpolate(x, scale_factor=3.0), [2] * 4), torch.tensor(labels)
    torch.manual_seed(seed)
    architecture = plugin_class("architecture", "mnist-cnn")()
    network = architecture.build()
    phenotype = genophen.compile(network, architecture.expressed(), embedding_dim=4, seed=seed)
    with torch.no_grad():
        for generator in phenotype.genotype.generators.values():
            generator.weight_out.mul_(factor)
            generator.bias_out.mul_(factor)
    adam = torch.optim.Adam(phenotype.parameters(), lr=0.005)
    for _ in range(120):
        chosen = torch.randint(1400, (100,))
        loss = nn.functional.cross_entropy(phenotype(x[chosen]), y[chosen])
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        return float((phenotype.eval()(x[1400:]).argmax(1) == y[1400:]).float().mean())


def test_a_constant_channel_is_standardized_to_zeros_with_a_finite_gradient() -> None:
    weight = torch.zeros(3, 5)
    weight[1] = 0.3
    weight[2] = 1e-30
    weight.requires_grad_()
    standardized = genophen.standardize(weight)
    assert standardized.abs().max() < 1e-3
    standardized[:, 0].sum().backward()
    assert weight.grad.isfinite().all()
    assert weight.grad.abs().max() < 1e5


def test_a_kernel_of_fan_in_1_is_scaled_but_not_centred() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 1, groups=4), nn.Flatten(), nn.Linear(4, 2))
    weight = genophen.compile(network, "0.weight", embedding_dim=4).weights()["0.weight"]
    torch.testing.assert_close(weight.abs(), torch.full((4, 1, 1, 1), math.sqrt(2)), rtol=1e-4, atol=0)


def test_kernels_start_at_variance_2_over_fan_in_without_normalization() -> None:
    network = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Conv2d(128, 256, 3))
    written = genophen.compile(network, "*.weight", embedding_dim=32, normalization="none").weights()
    for name, fan_in in (("0.weight", 576), ("1.weight", 1152)):
        assert written[name].detach().var().item() * fan_in == pytest.approx(2, rel=0.25)


def test_a_small_start_has_every_tensor_at_0_01() -> None:
    generator = compiled(embedding_dim=64, initialization="small").genotype.generators["5x5"]
    for tensor in (generator.embeddings, generator.weight_in, generator.weight_out):
        assert tensor.detach().std().item() == pytest.approx(0.01, rel=0.1)


def test_the_old_name_of_the_small_start_is_refused_with_the_new_one() -> None:
    with pytest.raises(
        genophen.ConfigError, match="found 'report'; allowed: 'small', as 'report' is called now"
    ):
        compiled(initialization="report")


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_a_smooth_start_has_kernels_whose_neighbouring_pixels_are_alike() -> None:
    network = nn.Sequential(nn.Conv2d(16, 32, 7), nn.Conv2d(32, 16, (3, 5)))
    smooth = genophen.compile(network, "*.weight", embedding_dim=4, initialization="smooth").weights()
    white = genophen.compile(network, "*.weight", embedding_dim=4).weights()
    for name, least in (("0.weight", 0.8), ("1.weight", 0.6)):
        weight = smooth[name].detach()
        assert correlation(weight[..., 1:], weight[..., :-1]) > least
        assert correlation(weight[..., 1:, :], weight[..., :-1, :]) > least
        assert abs(correlation(white[name].detach()[..., 1:], white[name].detach()[..., :-1])) < 0.2
        # Only the pixels of one kernel: channels differ as much as ever.
        assert abs(correlation(weight[1:], weight[:-1])) < 0.2
        assert abs(correlation(weight[:, 1:], weight[:, :-1])) < 0.3


def test_a_smooth_start_keeps_the_variance_at_every_pixel_and_1x1_kernels_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(64, 128, 7), nn.Conv2d(128, 64, 1))
    options: dict[str, Any] = {"embedding_dim": 32, "normalization": "none"}
    smooth = genophen.compile(network, "*.weight", initialization="smooth", **options).weights()
    weight = smooth["0.weight"].detach()
    for pixel in (weight[..., 0, 0], weight[..., 3, 3], weight[..., 6, 2]):
        assert pixel.var().item() * 64 * 49 == pytest.approx(2, rel=0.25)
    only_1x1 = genophen.compile(network, "1.weight", initialization="smooth", **options).weights()
    white = genophen.compile(network, "1.weight", **options).weights()
    assert torch.equal(only_1x1["1.weight"], white["1.weight"])


def test_in_a_smooth_start_input_channels_take_turns_with_orthogonal_kernels() -> None:
    network = nn.Sequential(nn.Conv2d(32, 16, 5))
    options: dict[str, Any] = {"embedding_dim": 4, "initialization": "smooth", "normalization": "none"}
    weight = genophen.compile(network, "0.weight", **options).weights()["0.weight"].detach()
    first, second = weight.transpose(0, 1).flatten(1).split(16)  # a block each, by input channel
    for block in (first, second):
        torch.testing.assert_close(block[:12], block[4:])  # d = 4 kernels in turn
        lengths = torch.linalg.svdvals(block[:4])
        assert lengths[0] < 4 * lengths[3]  # of random mixtures, it is often 10 or 30 times
    assert 0.3 < correlation(first, second) < 0.97  # the embeddings tell the blocks apart


def test_gradients_reach_every_embedding_and_generator_tensor() -> None:
    phenotype = compiled(embedding_dim=4)
    images = torch.randn(8, 3, 6, 6)
    nn.functional.cross_entropy(phenotype(images), torch.randint(0, 5, (8,))).backward()
    for name, parameter in phenotype.genotype.named_parameters():
        assert parameter.grad is not None, name
        changed = parameter.grad.reshape(len(parameter), -1).abs().sum(1)
        if name.endswith("embeddings"):
            assert bool((changed > 0).all()), f"{name}: an embedding without a gradient"
        if name == "generators.1x1.bias_out":  # the mean of a 1x1 kernel, which standardising takes away
            assert float(changed.sum()) < 1e-5  # rounding
        else:
            assert float(changed.sum()) > 0, name


def test_expressed_biases_are_held_at_zero_unless_they_are_free() -> None:
    held = compiled(embedding_dim=4, conv_bias=False)
    assert held.held_at_zero() == ["0.bias", "3.bias"]
    assert not held.weights()["0.bias"].any()
    assert not held.materialize()[0].bias.any()
    free = compiled(embedding_dim=4, conv_bias=True)
    assert free.held_at_zero() == []
    more = free.parameter_counts().kernel - held.parameter_counts().kernel
    assert more == 20 + 33  # the 1x1 convolution was built without a bias


def test_a_dense_weight_counts_as_a_1x1_kernel_and_its_bias_stays_direct() -> None:
    phenotype = genophen.compile(small_network(), ["7.weight"], embedding_dim=4)
    assert list(phenotype.genotype.generators) == ["1x1"]
    assert len(phenotype.genotype.generators["1x1"].embeddings) == math.ceil(7 * 36 / 16)
    assert "7.bias" in dict(phenotype.network.named_parameters())


def test_genes_split_into_embeddings_and_generator() -> None:
    genotype = compiled(embedding_dim=4).genotype
    embeddings, generator = genotype.genes("embeddings"), genotype.genes("generator")
    assert embeddings == [f"generators.{size}.embeddings" for size in ("3x3", "5x5", "1x1")]
    assert sorted(embeddings + generator) == sorted(genotype.genes("genotype"))


def test_the_direct_genotype_has_no_embeddings_to_search() -> None:
    genotype = compiled(genotype="direct").genotype
    with pytest.raises(genophen.ConfigError, match="direct has no embeddings"):
        genotype.genes("embeddings")


@pytest.mark.parametrize("name", ["hypernetwork", "direct"])
def test_shipped_genotypes_keep_the_contract(name: str) -> None:
    if name == "direct":  # it draws nothing, so that two seeds differ in nothing
        assert plugin_class("genotype", name).name == name
    check_genotype(plugin_class("genotype", name))

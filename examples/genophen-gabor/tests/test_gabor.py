import math

import pytest
import torch
from genophen_gabor import Gabor, PatchFeaturesArchitecture, PatchFeaturesOptions

import genophen
from genophen.testing import check_architecture, check_genotype


def network(kernels=5, shape=(3, 32, 32), **options):
    torch.manual_seed(0)
    architecture = PatchFeaturesArchitecture(PatchFeaturesOptions(kernels=kernels, **options))
    architecture.input_shape, architecture.num_outputs = shape, 10
    return architecture.build()


def test_they_keep_the_contracts():
    check_architecture(PatchFeaturesArchitecture, PatchFeaturesOptions(kernels=5))
    check_genotype(Gabor, Gabor.Options())


def test_an_image_and_its_mirror_image_have_the_same_features():
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network()(images.flip(3)), network()(images))


def test_digits_are_not_mirrored_and_their_grid_is_finer():
    net, images = network(shape=(1, 28, 28), grid=4, mirror=False), torch.randn(2, 1, 28, 28)
    assert net.dense.in_features == 2 * 5 * 4 * 4
    assert not torch.allclose(net(images.flip(3)), net(images), atol=1e-3)
    with pytest.raises(genophen.ConfigError, match=r"shape \(1, 6, 6\)[\s\S]*at least 8 rows"):
        network(shape=(1, 6, 6))


def test_contrast_and_brightness_do_not_matter_where_kernels_have_mean_0():
    net = network()
    with torch.no_grad():
        net.conv.weight.copy_(genophen.standardize(net.conv.weight))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(net(10 * images + 3), net(images), rtol=0.02, atol=0.002)
    flat = net(torch.full((1, 3, 32, 32), 3.0))
    torch.testing.assert_close(flat, net.dense.bias[None])


def test_a_kernel_is_the_gabor_function_of_its_numbers():
    genotype = genophen.compile(network(1), ["conv.weight"], Gabor).genotype
    numbers = [math.log(0.1), math.log(2.0), math.log(1.5), 0.3, 0.7, 0.5, -0.25, 1.0, 0.2, -0.6]
    with torch.no_grad():
        genotype.centers[0].copy_(torch.tensor(numbers))
        genotype.spreads[0].zero_()
    y, x = torch.meshgrid(torch.arange(6) - 3.0, torch.arange(6) - 2.25, indexing="ij")  # less the offsets
    u, v = x * math.cos(0.3) + y * math.sin(0.3), y * math.cos(0.3) - x * math.sin(0.3)
    wave = torch.exp(-(u**2 + (v / 1.5) ** 2) / (2 * 2.0**2)) * torch.cos(2 * math.pi * 0.1 * u + 0.7)
    kernel = torch.tensor([1.0, 0.2, -0.6])[:, None, None] * wave
    expected = (kernel - kernel.mean()) / kernel.std(correction=0) * math.sqrt(2 / 108)
    torch.testing.assert_close(genotype.express()["conv.weight"][0], expected, rtol=1e-4, atol=1e-5)


def test_what_is_searched_are_20_numbers_for_any_number_of_kernels():
    for kernels in (5, 50):
        genotype = genophen.compile(network(kernels), ["conv.weight"], Gabor).genotype
        assert sum(parameter.numel() for parameter in genotype.parameters()) == 20
        weights = genotype.express()["conv.weight"].flatten(1)
        assert len(torch.unique(weights, dim=0)) == kernels
    with pytest.raises(genophen.ConfigError, match="gabor has no embeddings"):
        genotype.genes("embeddings")

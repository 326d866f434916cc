"""First convolutions that begin as a bank of Gabor filters instead of noise (Daugman 1985)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genophen.errors import ConfigError
from genophen.phenotype.expressing import standardize

#: Standard deviation of the envelope, in kernel sizes.
ENVELOPE = 2 / 7
#: Bounds of the waves' frequencies, in cycles a kernel size. 1.5 is the most that 3x3 pixels can show.
FREQUENCIES = (0.7, 1.5)
#: Brightness and two opponent colours, over red, green, blue (Ohta, Kanade & Sakai 1980). Brightness alone
#: would leave later layers blind to colour.
COLORS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (-0.5, 1.0, -0.5))


def initialize_gabor(network: nn.Module, image_channels: int) -> None:
    """Set each convolution that takes the image itself to Gabor filters, and its bias to zero.

    It is one with `image_channels` input channels, a kernel of at least 3x3 and a weight of its own: one that
    a genotype writes is left out, which is why this comes after compiling. Nothing is drawn.

    Raises:
        ConfigError: where the network has no such convolution.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    first = [
        convolution
        for convolution in convolutions
        if convolution._parameters.get("weight") is not None
        and convolution.in_channels == image_channels
        and min(convolution.kernel_size) >= 3
    ]
    if not first:
        raise ConfigError(
            "cannot start from Gabor filters (training.direct_initialization = 'gabor')",
            found="no convolution of the network takes the image itself and is left unexpressed",
            allowed=f"an nn.Conv2d with {image_channels} input channels, a kernel of at least 3x3 and "
            "a weight that no genotype writes",
            next_step="--set training.direct_initialization=torch",
        )
    with torch.no_grad():
        for convolution in first:
            filters = gabor_filters(tuple(convolution.weight.shape))
            convolution.weight.copy_(filters)
            if convolution.bias is not None:
                convolution.bias.zero_()


def gabor_filters(shape: tuple[int, ...]) -> Tensor:
    """A bank of filters of shape (C_out, C_in, kh, kw): mean 0, variance 2 / fan_in.

    With three input channels half of the filters answer to brightness, a quarter to each opponent colour;
    else a filter is the same for every channel.
    """
    c_out, c_in, *kernel_size = shape
    if c_in != len(COLORS[0]):
        return standardize(_waves(c_out, *kernel_size)[:, None].expand(shape))
    counts = [c_out - 2 * (c_out // 4), c_out // 4, c_out // 4]
    filters = [
        _waves(count, *kernel_size)[:, None] * torch.tensor(color)[:, None, None]
        for count, color in zip(counts, COLORS, strict=True)
        if count
    ]
    return standardize(torch.cat(filters))


def _waves(count: int, kh: int, kw: int) -> Tensor:
    """Plane waves below a round envelope, (count, kh, kw): frequencies x phases x angles, each of mean 0."""
    size = min(kh, kw)
    y, x = torch.meshgrid(torch.arange(kh) - (kh - 1) / 2, torch.arange(kw) - (kw - 1) / 2, indexing="ij")
    envelope = torch.exp(-(x.square() + y.square()) / (2 * (ENVELOPE * size) ** 2))
    # About as many frequencies as phases and angles allow to differ: 1 for 8 filters, 2 for 16, 4 for 64.
    num_frequencies = max(1, round(math.sqrt(count) / 2))
    num_angles = math.ceil(count / (2 * num_frequencies))
    ratio = FREQUENCIES[1] / FREQUENCIES[0]
    waves = []
    for f in range(num_frequencies):
        frequency = FREQUENCIES[0] * ratio ** ((f + 0.5) / num_frequencies)
        # Small kernels hardly tell frequencies apart: by turns, the waves have the other sign.
        for phase in (f * math.pi, (f + 0.5) * math.pi):
            for k in range(num_angles):
                angle = k * math.pi / num_angles
                u = x * math.cos(angle) + y * math.sin(angle)
                waves.append(torch.cos(2 * math.pi * frequency / size * u + phase))
    filters = (envelope * torch.stack(waves))[:count]
    return filters - filters.mean((1, 2), keepdim=True)

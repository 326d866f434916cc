"""Features of image patches for solved readouts, and Gabor kernels drawn from a distribution that can evolve.

The architecture `patch-features` is one layer of features in the manner of Coates, Ng & Lee 2011: patches of
normalised contrast, linear filters, a threshold, pooling, a dense readout. The genotype `gabor` writes the
filters: each is a CPPN of a Gaussian and a cosine, whose numbers come from the filter's own fixed code.
"""

from __future__ import annotations

import functools
import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import genophen

#: Rows and columns of a filter.
KERNEL_SIZE = 6
#: Added to the variance of a patch: what is flat stays flat.
CONTRAST_FLOOR = 0.01
#: The numbers of a Gabor function beside its colours, in pixels and radians: their mean and standard
#: deviation over the kernels before any search. A spread of pi makes angles all but uniform.
START = {
    "log frequency": (-2.0, 0.5),
    "log width": (0.4, 0.3),
    "log elongation": (0.0, 0.3),
    "orientation": (0.0, math.pi),
    "phase": (0.0, math.pi),
    "row": (0.0, 1.0),
    "column": (0.0, 1.0),
}
#: So, too, for the weight of each input channel.
COLOUR = (1.0, 0.5)


class PatchFeaturesOptions(genophen.Options):
    kernels: int = Field(56, ge=1, le=10_000, description="filters; each gives 2 features a place")
    grid: int = Field(3, ge=1, le=8, description="rows and columns of places that responses are pooled to")
    mirror: bool = Field(
        True, description="add the responses to the mirror image; not for what means another thing mirrored"
    )


class PatchFeatures(nn.Module):
    """Pooled responses of filters and of their negatives, summed over an image and its mirror image."""

    def __init__(self, channels: int, size: int, options: PatchFeaturesOptions, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, options.kernels, KERNEL_SIZE, bias=False)
        width = (size - KERNEL_SIZE + 1) // options.grid
        self.pool = nn.AvgPool2d(width)
        places = ((size - KERNEL_SIZE + 1) // width) ** 2
        self.dense = nn.Linear(2 * options.kernels * places, classes)
        self.threshold = 0.5
        self.mirror = options.mirror

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.respond(x)  # (N, 2 kernels, grid, grid)
        if self.mirror:
            pooled = pooled + self.respond(x.flip(3))
        return self.dense(pooled.flatten(1))

    def respond(self, x: Tensor) -> Tensor:
        """Responses above the threshold, pooled: those of either sign together, and their difference.

        To a solved readout that is the same as one feature for each sign, and takes less time.
        """
        responses = F.softshrink(self.conv(x) * self.inverse_contrast(x), self.threshold)
        return torch.cat([self.pool(responses), self.pool(responses.abs())], 1)

    def inverse_contrast(self, x: Tensor) -> Tensor:
        """1 / the standard deviation of each patch, (N, 1, H', W'). Kernels of mean 0 ignore its mean."""
        mean = F.avg_pool2d(x, KERNEL_SIZE, 1).mean(1, keepdim=True)
        square = F.avg_pool2d(x.square(), KERNEL_SIZE, 1).mean(1, keepdim=True)
        return ((square - mean.square()).relu() + CONTRAST_FLOOR).rsqrt()


class PatchFeaturesArchitecture(genophen.Architecture):
    name = "patch-features"
    description = "thresholded responses of 6x6 filters on patches of normalised contrast, pooled to a grid"
    Options: ClassVar[type[genophen.Options]] = PatchFeaturesOptions
    options: PatchFeaturesOptions

    def build(self) -> nn.Module:
        shape, classes = self.shapes()
        if len(shape) != 3 or shape[1] != shape[2] or shape[1] < KERNEL_SIZE + self.options.grid - 1:
            raise genophen.ConfigError(
                "cannot build patch-features",
                found=f"inputs of shape {shape}",
                allowed=f"square images of at least {KERNEL_SIZE + self.options.grid - 1} rows",
            )
        return PatchFeatures(shape[0], shape[1], self.options, classes)

    def expressed(self) -> list[str]:
        return ["conv.weight"]


class Gabor(genophen.Genotype):
    """Kernels as Gabor functions; what evolves is the distribution of their numbers, 20 genes for RGB images.

    Kernel k has a code z_k, fixed, of independent standard normal numbers. A diagonal affine map makes of it
    the numbers of a Gabor function, center + spread * z_k, and these write the kernel: with u and v the
    coordinates along and across the wave, and c the weight of a channel,

        w(channel, y, x) = c exp(-(u^2 + (v / elongation)^2) / (2 width^2)) cos(2 pi frequency u + phase)

    brought to mean 0 and variance 2 / fan_in. The number of genes does not depend on the number of kernels,
    so that what was found with few kernels can be used with many.
    """

    name = "gabor"
    description = "each kernel a Gabor function, its numbers drawn from a distribution that is searched"

    def __init__(
        self, options: genophen.Options, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self._targets = [target for target in targets.values() if not target.is_bias]
        #: Of all codes: kept instead of them, so that weights can be loaded whatever the number of kernels.
        self.register_buffer("seed", torch.randint(2**31, (), generator=generator))
        self.centers, self.spreads = nn.ParameterList(), nn.ParameterList()
        for target in self._targets:
            start = torch.tensor([*START.values()] + [COLOUR] * target.shape[1])  # (numbers, 2)
            self.centers.append(start[:, 0].clone())
            self.spreads.append(start[:, 1].clone())
        self.biases = genophen.ConvBiases(targets.values(), False)

    def express(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.biases()
        for target, center, spread in zip(self._targets, self.centers, self.spreads, strict=True):
            codes = _codes(target.shape[0], len(center), int(self.seed))
            numbers = center + spread * codes.to(center)  # (C_out, numbers)
            height, width = (*target.shape, 1, 1)[2:4]
            kernels = _gabor(numbers, height, width).view(target.shape)
            weights[target.name] = genophen.standardize(kernels)
        return weights

    def genes(self, scope: str) -> list[str]:
        if scope == "genotype":
            return [name for name, _ in self.named_parameters()]
        raise genophen.no_genes(self, scope)


@functools.lru_cache(maxsize=16)
def _codes(count: int, size: int, seed: int) -> Tensor:
    """Standard normal numbers (count, size) that cover their space evenly: a scrambled Sobol sequence."""
    uniform = torch.quasirandom.SobolEngine(size, scramble=True, seed=seed).draw(count)
    return torch.special.ndtri(uniform.clamp(1e-4, 1 - 1e-4))


def _gabor(numbers: Tensor, height: int, width: int) -> Tensor:
    """Kernels (C_out, C_in, height, width) of Gabor functions' numbers (C_out, len(START) + C_in)."""
    of_place, colours = numbers[:, : len(START)], numbers[:, len(START) :]
    frequency, scale, elongation, angle, phase, row, column = of_place.T[:, :, None, None]
    y = torch.arange(height).to(numbers)[:, None] - (height - 1) / 2 - row  # (C_out, height, 1)
    x = torch.arange(width).to(numbers) - (width - 1) / 2 - column  # (C_out, 1, width)
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    distance = along.square() + (across * torch.exp(-elongation)).square()
    envelope = torch.exp(-distance / (2 * torch.exp(2 * scale)))
    wave = torch.cos(2 * math.pi * torch.exp(frequency) * along + phase)
    return colours[:, :, None, None] * (envelope * wave)[:, None]


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    register(PatchFeaturesArchitecture)


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(Gabor)

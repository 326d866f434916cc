"""Kernels from cosine coefficients (Koutnik, Gomez & Schmidhuber 2010, compressed weight space).

A weight is an array over its axes, n_a places each, and the sum of a few cosines of low frequency:

    w[i_1, ..] = sqrt(N / K) sum_k c_k prod_a e(f_ka) cos(pi f_ka (2 i_a + 1) / (2 n_a)) / sqrt(n_a)

the inverse discrete cosine transform (orthonormal, e(0) = 1 and e(f) = sqrt(2) else) of K coefficients, the
other N - K being zero. As in the paper, coefficients are taken in the order of the sum of their frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

import genophen
from genophen_plugins.genotypes.scaling import scaled


class DCTOptions(genophen.KernelOptions):
    num_coefficients: int = Field(
        4096,
        ge=1,
        le=2**32,
        description="coefficients of all layers together, shared out in proportion to their weights; each "
        "layer has at least one and no more than it has weights",
    )


class DCT(genophen.Genotype):
    """Writes each weight as the inverse cosine transform of its own coefficients of lowest frequency."""

    name = "dct"
    description = "a few cosine coefficients of each weight, of the lowest frequencies"
    Options: ClassVar[type[genophen.Options]] = DCTOptions

    def __init__(
        self, options: DCTOptions, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.standardized = options.normalization == "standardized"
        self._targets = [target for target in targets.values() if not target.is_bias]
        sizes = [math.prod(target.shape) for target in self._targets]
        share = min(1.0, options.num_coefficients / sum(sizes))
        counts = [max(1, round(share * size)) for size in sizes]
        self.coefficients = nn.ParameterList(
            nn.Parameter(torch.randn(count, generator=generator)) for count in counts
        )
        self._boxes = []
        for index, (target, count) in enumerate(zip(self._targets, counts, strict=True)):
            box, places = lowest_frequencies(target.kernel_shape, count)
            self._boxes.append(box)
            self.register_buffer(f"places_{index}", places, persistent=False)
        self.biases = genophen.ConvBiases(targets.values(), options.conv_bias)

    def express(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.biases()
        for index, (target, coefficients) in enumerate(zip(self._targets, self.coefficients, strict=True)):
            box = self._boxes[index]
            values = coefficients.new_zeros(math.prod(box))
            values = values.scatter(0, self.get_buffer(f"places_{index}"), coefficients).view(box)
            for size, frequencies in zip(target.kernel_shape, box, strict=True):
                cosines = _cosines(size, frequencies, coefficients)
                values = torch.tensordot(values, cosines, dims=([0], [1]))  # this axis goes to the end
            values = values * math.sqrt(values.numel() / len(coefficients))
            weights[target.name] = scaled(target, values, self.standardized)
        return weights

    def genes(self, scope: str) -> list[str]:
        if scope != "genotype":
            raise genophen.no_genes(self, scope)
        return [name for name, _ in self.named_parameters()]


def lowest_frequencies(shape: Sequence[int], count: int) -> tuple[list[int], Tensor]:
    """The smallest box of frequencies that holds the `count` lowest ones, and their places in it.

    The lowest are those with the smallest sum; of equal sums, those that are low on the first axes.
    """
    axes = torch.meshgrid(*(torch.arange(size) for size in shape), indexing="ij")
    order = torch.stack(axes).sum(0).flatten().argsort(stable=True)[:count]
    frequencies = torch.stack(torch.unravel_index(order, tuple(shape)))  # (axes, count)
    box = [int(highest) + 1 for highest in frequencies.amax(1)]
    strides = torch.tensor([math.prod(box[axis + 1 :]) for axis in range(len(box))])
    return box, strides @ frequencies


def _cosines(size: int, frequencies: int, like: Tensor) -> Tensor:
    """The first columns of the orthonormal inverse transform along an axis, (size, frequencies)."""
    places = torch.arange(size, dtype=like.dtype, device=like.device)
    angles = torch.outer(2 * places + 1, math.pi / (2 * size) * places[:frequencies])
    scale = torch.full_like(places[:frequencies], math.sqrt(2 / size))
    scale[0] = math.sqrt(1 / size)
    return angles.cos() * scale


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(DCT)

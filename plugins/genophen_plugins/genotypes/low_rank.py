"""Low-rank kernels: two thin matrices a layer (Jaderberg, Vedaldi & Zisserman 2014, their second scheme).

A kernel is laid out as a matrix, a row for each output channel and kernel row, a column for each input
channel and kernel column:

    K[o, i, y, x] = sum_k U[(o, y), k] V[k, (i, x)]       U (C_out kh, r), V (r, C_in kw)

A dense weight is the matrix that it is. LoRA (Hu et al. 2022) writes its differences to kernels in this way.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

import genophen
from genophen_plugins.genotypes.scaling import scaled

Rank = Annotated[int, Field(ge=1, le=65_536)]


class LowRankOptions(genophen.KernelOptions):
    rank: Rank | tuple[Rank, ...] = Field(
        4,
        description="r, columns of U and rows of V: one number for all layers, or a list with one a layer in "
        "the network's order; no layer has more than its matrix has rows or columns",
    )


class LowRank(genophen.Genotype):
    """Writes each weight as the product of two matrices of its own."""

    name = "low-rank"
    description = "two thin matrices a layer, whose product is the kernel"
    Options: ClassVar[type[genophen.Options]] = LowRankOptions

    def __init__(
        self, options: LowRankOptions, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.standardized = options.normalization == "standardized"
        self._targets = [target for target in targets.values() if not target.is_bias]
        shapes = [_matrix_shape(target) for target in self._targets]
        ranks = [min(rank, *shape) for rank, shape in zip(_ranks(options, len(shapes)), shapes, strict=True)]

        def normal(rows: int, columns: int, rank: int) -> nn.Parameter:
            # The sum of r products has variance 1 where both factors have 1 / sqrt(r).
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * rank**-0.25)

        layers = list(zip(shapes, ranks, strict=True))
        self.outputs = nn.ParameterList(normal(rows, rank, rank) for (rows, _), rank in layers)
        self.inputs = nn.ParameterList(normal(rank, columns, rank) for (_, columns), rank in layers)
        self.biases = genophen.ConvBiases(targets.values(), options.conv_bias)

    def express(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.biases()
        for target, u, v in zip(self._targets, self.outputs, self.inputs, strict=True):
            c_out, c_in = target.kernel_shape[:2]
            kernel = (u @ v).view(c_out, -1, c_in, v.shape[1] // c_in)  # (C_out, kh, C_in, kw)
            weights[target.name] = scaled(target, kernel.transpose(1, 2), self.standardized)
        return weights

    def genes(self, scope: str) -> list[str]:
        if scope != "genotype":
            raise genophen.no_genes(self, scope)
        return [name for name, _ in self.named_parameters()]


def _matrix_shape(target: genophen.Target) -> tuple[int, int]:
    c_out, c_in, *kernel = target.kernel_shape
    return c_out * math.prod(kernel[:-1]), c_in * math.prod(kernel[-1:])


def _ranks(options: LowRankOptions, layers: int) -> tuple[int, ...]:
    if isinstance(options.rank, int):
        return (options.rank,) * layers
    if len(options.rank) != layers:
        raise genophen.ConfigError(
            "cannot give each layer its rank",
            found=f"genotype.low-rank.rank has {len(options.rank)} numbers",
            allowed=f"{layers}, one for each expressed layer, or a single number for all",
        )
    return options.rank


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(LowRank)

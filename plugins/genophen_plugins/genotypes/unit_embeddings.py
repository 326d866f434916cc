"""A hypernetwork over units: each weight from the embeddings of the two units that it joins.

Of a layer l with n outputs and m inputs, at each place of a convolution's kernel:

    W = Z_n A_l Z_m^+        Z_n (n, k), A_l (k, k), Z_m^+ = k / m Z_m^T

The generator A_l is learned; Z is fixed and random, or learned too. It starts with orthogonal columns, and
rows whose length is 1 on average, so that Z_m^+ Z_m is one: what a layer is told in k numbers it says again.
As in HyperNEAT (Stanley, D'Ambrosio & Gauci 2009), units are the same wherever a layer is read and written: a
recurrent layer's outputs are its own inputs, so sides of one size share their embeddings. A side of no more
units than `own_up_to` has the identity for Z: few units, such as sensors, have each a row or column of A_l.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

import genophen


class UnitEmbeddingOptions(genophen.Options):
    embedding_dim: int = Field(4, ge=1, le=4096, description="k, numbers in the embedding of a unit")
    embeddings: Literal["fixed", "learned"] = Field(
        "fixed", description="whether the units' embeddings are kept as they are drawn, or learned as well"
    )
    own_up_to: int = Field(
        4,
        ge=0,
        le=4096,
        description="sides of a layer with so few units are not embedded: each has its own numbers",
    )


class UnitEmbeddings(genophen.Genotype):
    """Writes each layer, gate and place of a kernel by a generator of its own, over shared embeddings."""

    name = "unit-embeddings"
    description = "each weight from embeddings of the two units that it joins, by one small matrix a layer"
    Options: ClassVar[type[genophen.Options]] = UnitEmbeddingOptions
    titled = ("embedding_dim",)

    def __init__(
        self,
        options: UnitEmbeddingOptions,
        targets: dict[str, genophen.Target],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._targets = [target for target in targets.values() if not target.is_bias]
        sides = sorted({size for target in self._targets for size in _sides(target)})
        self._embedded = [size for size in sides if size > max(options.own_up_to, options.embedding_dim)]
        self._learned = options.embeddings == "learned"
        drawn = {str(size): _embeddings(size, options.embedding_dim, generator) for size in self._embedded}
        if self._learned:
            self.embeddings = nn.ParameterDict({name: nn.Parameter(each) for name, each in drawn.items()})
        else:
            for name, each in drawn.items():
                self.register_buffer(f"embeddings_{name}", each)
        self.generators = nn.ParameterList(
            nn.Parameter(_generator(target, self._embedded, options.embedding_dim, generator))
            for target in self._targets
        )

    def express(self) -> dict[str, Tensor]:
        weights = {}
        for target, generator in zip(self._targets, self.generators, strict=True):
            rows, columns = _sides(target)
            blocks = generator  # (gates, places, k or rows, k or columns)
            if rows in self._embedded:
                blocks = self._units(rows) @ blocks
            if columns in self._embedded:
                units = self._units(columns)
                blocks = blocks @ units.T * (units.shape[1] / columns)
            kernel = blocks.permute(0, 2, 3, 1).reshape(target.kernel_shape)  # (gates rows, columns, places)
            weights[target.name] = target.from_kernel(kernel)
        return weights

    def _units(self, size: int) -> Tensor:
        """The embeddings (size, k) of layers of that size."""
        if self._learned:
            return self.embeddings[str(size)]
        found: Tensor = self.get_buffer(f"embeddings_{size}")
        return found

    def genes(self, scope: str) -> list[str]:
        names = [name for name, _ in self.named_parameters()]
        if scope == "genotype":
            return names
        if scope == "generator":
            return [name for name in names if name.startswith("generators.")]
        if scope == "embeddings" and self._learned:
            return [name for name in names if name.startswith("embeddings.")]
        raise genophen.no_genes(self, scope)


def _sides(target: genophen.Target) -> tuple[int, int]:
    """Units on the two sides of a weight, of which a recurrent one has a matrix a gate."""
    return target.kernel_shape[0] // target.gates, target.kernel_shape[1]


def _embeddings(size: int, dim: int, generator: torch.Generator) -> Tensor:
    """(size, dim) with orthogonal columns, and rows of length 1 on average."""
    columns, _ = torch.linalg.qr(torch.randn(size, dim, generator=generator))
    return columns.contiguous() * (size / dim) ** 0.5


def _generator(target: genophen.Target, embedded: list[int], dim: int, generator: torch.Generator) -> Tensor:
    """(gates, places, k or rows, k or columns), such that the weights start at the variance 2 / fan_in."""
    sides = _sides(target)
    shape = [dim if size in embedded else size for size in sides]
    # Inputs are averaged over m / k units each, and their weights are as much smaller.
    spread = (sides[1] / dim) ** 2 if sides[1] in embedded else 1.0
    drawn = torch.randn(target.gates, math.prod(target.kernel_shape[2:]), *shape, generator=generator)
    return drawn * (2 * spread / target.fan_in) ** 0.5


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(UnitEmbeddings)

"""Weights in a random subspace (Li, Farkhoor, Liu & Yosinski 2018, intrinsic dimension).

All N weights together move along d random directions from where they start, and only the steps are trained:

    w = w_0 + P z,    P = 1 / (sqrt(d) |g|) H diag(g) S H diag(s)

w_0 is standard normal and fixed, z begins at 0. P is the Fastfood transform (Le, Sarlos & Smola 2013): random
signs s, a Walsh-Hadamard matrix H of +1 and -1, a random order S, normal numbers g, and H again, over the
next power of two, of which the first N numbers are kept. The entries of P are near normal, with mean 0 and
variance 1 / d: steps of variance 1 move the weights as far from w_0 as w_0 is from zero. (Li et al. give the
columns of P length 1, which is another unit of z.)
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen_plugins.genotypes.scaling import scaled


class RandomProjectionOptions(genophen.KernelOptions):
    intrinsic_dim: int = Field(
        4096, ge=1, le=2**32, description="d, directions of the subspace; no more than there are weights"
    )


class RandomProjection(genophen.Genotype):
    """Writes all weights as one point of a random subspace, which is drawn from a seed and never saved."""

    name = "random-projection"
    description = "a point in a random subspace of all weights (intrinsic dimension)"
    Options: ClassVar[type[genophen.Options]] = RandomProjectionOptions

    def __init__(
        self,
        options: RandomProjectionOptions,
        targets: dict[str, genophen.Target],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.standardized = options.normalization == "standardized"
        self._targets = [target for target in targets.values() if not target.is_bias]
        self._sizes = [math.prod(target.shape) for target in self._targets]
        self.z = nn.Parameter(torch.zeros(min(options.intrinsic_dim, sum(self._sizes))))
        #: Saved in the place of all that is drawn from it.
        self.seed: Tensor
        self.register_buffer("seed", torch.randint(2**62, (), generator=generator))
        self.draw()
        self.register_load_state_dict_post_hook(_draw_again)
        self.biases = genophen.ConvBiases(targets.values(), options.conv_bias)

    def draw(self) -> None:
        """Draw w_0 and the parts of P from the seed."""
        generator = torch.Generator().manual_seed(int(self.seed))
        count = sum(self._sizes)
        width = 2 ** math.ceil(math.log2(count))
        drawn = {
            "start": torch.randn(count, generator=generator),
            "signs": 2.0 * torch.randint(2, (len(self.z),), generator=generator) - 1,
            "order": torch.randperm(width, generator=generator),
            "normal": torch.randn(width, generator=generator),
        }
        for name, tensor in drawn.items():
            dtype = self.z.dtype if tensor.is_floating_point() else tensor.dtype
            self.register_buffer(name, tensor.to(self.z.device, dtype), persistent=False)

    def express(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.biases()
        values = (self.get_buffer("start") + self.project(self.z)).split(self._sizes)
        for target, own in zip(self._targets, values, strict=True):
            weights[target.name] = scaled(target, own, self.standardized)
        return weights

    def project(self, z: Tensor) -> Tensor:
        """P z, (N,), of z (d,)."""
        normal = self.get_buffer("normal")
        padded = F.pad(z * self.get_buffer("signs"), (0, len(normal) - len(z)))
        mixed = _hadamard(padded)[self.get_buffer("order")] * normal
        return _hadamard(mixed)[: sum(self._sizes)] / (math.sqrt(len(z)) * normal.norm())

    def genes(self, scope: str) -> list[str]:
        if scope != "genotype":
            raise genophen.no_genes(self, scope)
        return [name for name, _ in self.named_parameters()]


def _hadamard(values: Tensor) -> Tensor:
    """The Walsh-Hadamard transform of values (2^k,), in k steps of sums and differences."""
    size = len(values)
    width = 1
    while width < size:
        pairs = values.view(-1, 2, width)
        values = torch.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], dim=1)
        width *= 2
    return values.view(size)


def _draw_again(genotype: nn.Module, _: object) -> None:
    assert isinstance(genotype, RandomProjection)
    genotype.draw()


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(RandomProjection)

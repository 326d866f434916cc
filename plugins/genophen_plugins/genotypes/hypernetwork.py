"""The static hypernetwork (Ha, Dai & Le 2016, section 3.1): kernels from embeddings, block by block.

For the block with embedding z in R^{N_z}, basis B and input channel i = 1..B:

    a_i = W_i z + b_i             W_i (d, N_z), b_i (d,)
    K_i = <W_out, a_i> + B_out    W_out (kh, B kw, d), B_out (kh, B kw)

The slices K_1..K_B side by side are the block, (B, B, kh, kw). Larger kernels are tiled from blocks.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen_plugins.genotypes.hypernetwork_options import HypernetworkOptions

#: How far a smooth start's blocks are moved apart by their embeddings, beside what is common to all of them.
DIFFERENCE = 0.3
#: Numbers of kernels from which standardising them in advance takes less time than reading them once more.
MANY = 2**20


@dataclass(frozen=True)
class Tiling:
    """The blocks of which the kernel of one target is put together, row by row."""

    target: genophen.Target
    rows: int
    columns: int

    @property
    def num_blocks(self) -> int:
        return self.rows * self.columns

    def crop(self, kernels: Tensor) -> Tensor:
        """The output channels (C_out, ...) of rows of blocks (rows B, ...); each gate has rows of its own."""
        c_out, gates = self.target.kernel_shape[0], self.target.gates
        if gates == 1 or len(kernels) == c_out:
            return _first(kernels, c_out, dim=0)
        return _first(kernels.unflatten(0, (gates, -1)), c_out // gates, dim=1).flatten(0, 1)


class KernelGenerator(nn.Module):
    """The two-layer linear map for one kernel size, with the embeddings of all its blocks."""

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        tilings: list[Tiling],
        options: HypernetworkOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.tilings = tilings
        fan_ins = [tiling.target.fan_in for tiling in tilings for _ in range(tiling.num_blocks)]
        kh, kw = math.prod(kernel_size[:-1]), kernel_size[-1]
        basis, n_z, d = options.basis_channels, options.embedding_dim, options.hidden_width
        self.basis = basis
        if options.initialization == "small":
            stds = torch.full((len(fan_ins), 1), 0.01)
            std_in = std_out = 0.01
        else:
            # One generator serves layers of different fan-in: it is scaled for a basic kernel, and the
            # embeddings carry the rest, so that every kernel starts at variance 2 / fan_in.
            basic_fan_in = basis * kh * kw
            stds = torch.tensor(fan_ins).div(basic_fan_in).rsqrt().view(-1, 1)
            std_in, std_out = 1 / math.sqrt(n_z), math.sqrt(2 / (basic_fan_in * d))
        embeddings = torch.randn(len(fan_ins), n_z, generator=generator)
        weight_in = torch.randn(basis, d, n_z, generator=generator)
        if options.initialization == "smooth" and kh * kw > 1:
            embeddings, weight_in = _in_turns(embeddings, weight_in, generator)
        self.embeddings = nn.Parameter(embeddings * stds)
        self.weight_in = nn.Parameter(weight_in * std_in)
        self.bias_in = nn.Parameter(torch.zeros(basis, d))
        templates = torch.randn(kh, basis * kw, d, generator=generator) * std_out
        if options.initialization == "smooth":
            rows = functools.reduce(torch.kron, [_blur(size) for size in kernel_size[:-1]], torch.ones(1, 1))
            templates = torch.einsum(
                "yr,robd,xb->yoxd", rows, templates.view(kh, basis, kw, d), _blur(kw)
            ).reshape(kh, basis * kw, d)
        self.weight_out = nn.Parameter(templates)
        self.bias_out = nn.Parameter(torch.zeros(kh, basis * kw))

    def forward(self, standardized: bool) -> dict[str, Tensor]:
        """The weights of all targets of this kernel size, by name, input channels last in memory."""
        of_layer = self.embeddings.split([tiling.num_blocks for tiling in self.tilings])
        alike: dict[int, list[tuple[Tiling, Tensor]]] = {}  # by C_in: their rows of blocks are one batch
        for tiling, z in zip(self.tilings, of_layer, strict=True):
            blocks = z.view(tiling.rows, tiling.columns, -1)
            alike.setdefault(tiling.target.kernel_shape[1], []).append((tiling, blocks))
        weights: dict[str, Tensor] = {}
        for c_in, layers in alike.items():
            a = self._slices(torch.cat([z for _, z in layers]), c_in)  # (R, C_in, d)
            weights |= self._written(a, [tiling for tiling, _ in layers], standardized)
        return weights

    def _slices(self, z: Tensor, c_in: int) -> Tensor:
        """a_i of every input channel, (R, C_in, d), from embeddings (R, columns, N_z) of R rows of blocks."""
        d = self.bias_in.shape[1]
        a = F.linear(z, self.weight_in.flatten(0, 1), self.bias_in.flatten())  # (R, columns, B d)
        return _first(a.view(len(z), -1, d), c_in, dim=1)

    def _written(self, a: Tensor, tilings: list[Tiling], standardized: bool) -> dict[str, Tensor]:
        """The weights of some layers by name, from a (R, C_in, d) of all their rows of blocks."""
        c_in, d = a.shape[1:]
        numbers = self.weight_out.shape[0] * self.weight_out.shape[1] // self.basis  # of a kernel
        written = len(a) * self.basis * numbers * c_in
        worth = written >= MANY and d < self.basis * numbers
        in_advance = standardized and worth and c_in * numbers > 1
        a, templates = self._standardized(a) if in_advance else self._as_generated(a)
        rows = [tiling.rows for tiling in tilings]
        weights = {}
        for tiling, own, maps in zip(tilings, a.split(rows), templates.split(rows), strict=True):
            target = tiling.target
            other_scale = in_advance and target.fan_in != c_in * numbers
            scaled = maps * math.sqrt(c_in * numbers / target.fan_in) if other_scale else maps
            kernels = torch.bmm(scaled.flatten(1, 2), own.mT)  # (rows, B kh kw, C_in)
            kernel = tiling.crop(kernels.view(-1, numbers, c_in))  # (C_out, kh kw, C_in)
            if standardized and not in_advance and target.kind != "scale":
                kernel = genophen.standardize(kernel, target.fan_in)
            weights[target.name] = target.from_kernel(kernel.mT.reshape(target.kernel_shape))
        return weights

    def _as_generated(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """[a, 1], (R, C_in, d + 1), and [W_out, B_out] for each row, (R, B, kh kw, d + 1)."""
        templates = torch.cat(self._templates(), dim=2)  # (B, kh kw, d + 1)
        return F.pad(a, (0, 1), value=1.0), templates.expand(len(a), -1, -1, -1)

    def _standardized(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """The same with each output channel's kernels, which are their products, at mean 0 and 2 / fan_in.

        The variance of an output channel's numbers W_out a + B_out follows from the covariance of a, so that
        no kernel needs to be read, only to be written: they are the most numbers by far.
        """
        templates, offsets = self._templates()  # (B, kh kw, d), (B, kh kw, 1)
        center = a.mean(1, keepdim=True)  # (R, 1, d)
        a = a - center
        pixels = F.linear(center, templates.flatten(0, 1), offsets.flatten())  # (R, 1, B kh kw)
        pixels = pixels.view(len(a), *offsets.shape[:2])  # (R, B, kh kw), means over the input channels
        mean = pixels.mean(2, keepdim=True)  # (R, B, 1)
        pixels = pixels - mean
        fan_in = a.shape[1] * templates.shape[1]
        covariance = (a.mT @ a).flatten(1)  # (R, d d)
        products = (templates.mT @ templates).flatten(1)  # (B, d d)
        # No number is negative, but by rounding where all of them vanish.
        squares = (covariance @ products.mT).clamp_min(0)  # (R, B)
        variance = squares / fan_in + pixels.square().mean(2)
        gain = genophen.kernel_gain(mean[..., 0], variance, fan_in)
        scaled = torch.cat([templates.expand(len(a), -1, -1, -1), pixels[..., None]], dim=3)
        return F.pad(a, (0, 1), value=1.0), scaled * gain[..., None, None]

    def _templates(self) -> tuple[Tensor, Tensor]:
        """W_out and B_out by output channel, (B, kh kw, d) and (B, kh kw, 1)."""
        kh = len(self.weight_out)
        weight = self.weight_out.unflatten(1, (self.basis, -1)).transpose(0, 1)  # (B, kh, kw, d)
        bias = self.bias_out.view(kh, self.basis, -1, 1).transpose(0, 1)
        return weight.flatten(1, 2), bias.flatten(1, 2)


class Hypernetwork(genophen.Genotype):
    """Writes weights with one generator a kernel size; those of no kernel are 1x1 kernels."""

    name = "hypernetwork"
    description = "a two-layer linear hypernetwork shared by all layers, one embedding a basic kernel"
    Options: ClassVar[type[genophen.Options]] = HypernetworkOptions
    titled = ("embedding_dim", "projection_dim")

    @classmethod
    def title(cls, options: genophen.Options) -> str:
        assert isinstance(options, HypernetworkOptions)
        return f"Hyper{options.embedding_dim}_{options.hidden_width}"

    def __init__(
        self,
        options: HypernetworkOptions,
        targets: dict[str, genophen.Target],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.standardized = options.normalization == "standardized"
        tilings: dict[tuple[int, ...], list[Tiling]] = {}
        for target in targets.values():
            if not target.is_bias:
                of_size = tilings.setdefault(_kernel_size(target), [])
                of_size.append(_tile(target, options.basis_channels))
        self.generators = nn.ModuleDict(
            {
                "x".join(map(str, size)): KernelGenerator(size, of_size, options, generator)
                for size, of_size in tilings.items()
            }
        )
        self.biases = genophen.ConvBiases(targets.values(), options.conv_bias)

    def express(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.biases()
        for generator in self.generators.values():
            weights |= generator(self.standardized)
        return weights

    def genes(self, scope: str) -> list[str]:
        names = [name for name, _ in self.named_parameters()]
        if scope == "genotype":
            return names
        embeddings = [name for name in names if name.endswith(".embeddings")]
        if scope == "embeddings":
            return embeddings
        if scope == "generator":
            return [name for name in names if name.startswith("generators.") and name not in embeddings]
        raise genophen.no_genes(self, scope)


def _first(tensor: Tensor, count: int, dim: int) -> Tensor:
    """The first `count` along an axis; without a slice, whose backward copies, where that is all."""
    return tensor if tensor.shape[dim] == count else tensor.narrow(dim, 0, count)


def _kernel_size(target: genophen.Target) -> tuple[int, ...]:
    size = target.kernel_shape[2:]
    return size if math.prod(size) > 1 else (1, 1)


def _blur(size: int) -> Tensor:
    """A matrix (size, size) that blurs noise along an axis and keeps the variance of every number.

    Gaussian, with a standard deviation of a third of the size; noise beyond the ends is none.
    """
    places = torch.arange(size, dtype=torch.get_default_dtype())
    blur = torch.exp(-0.5 * ((places[:, None] - places) / (size / 3)).square())
    return F.normalize(blur, dim=1)


def _in_turns(embeddings: Tensor, weight_in: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Embeddings (E, N_z) and weights (B, d, N_z) that give every d-th input channel one kernel.

    The d kernels in turn are orthogonal mixtures of the generator's patterns, but for what the embedding of a
    block changes: random ones would spend the d directions on mixtures that are much alike. As Gabor filters
    stand in the order of their angles, channels that share a kernel answer to like edges.
    """
    basis, d, n_z = weight_in.shape
    turns = torch.arange(basis) % d
    weight_in = weight_in[turns]  # every d-th the same
    mixtures, _ = torch.linalg.qr(torch.randn(d, d, generator=generator))
    weight_in[:, :, 0] = mixtures[turns] * math.sqrt(d)
    scale = torch.full((n_z,), DIFFERENCE / math.sqrt(max(1, n_z - 1)))
    scale[0] = 1
    embeddings = torch.cat([torch.ones_like(embeddings[:, :1]), embeddings[:, 1:]], dim=1)
    return embeddings * scale * (math.sqrt(n_z) / scale.norm()), weight_in


def _tile(target: genophen.Target, basis: int) -> Tiling:
    c_out, c_in = target.kernel_shape[:2]
    rows = target.gates * math.ceil(c_out // target.gates / basis)
    return Tiling(target, rows, math.ceil(c_in / basis))


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(Hypernetwork)

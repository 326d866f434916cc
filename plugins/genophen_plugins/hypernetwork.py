"""The static hypernetwork (Ha, Dai & Le 2016, section 3.1): kernels from embeddings, block by block.

For the block with embedding z in R^{N_z}, basis B and input channel i = 1..B:

    a_i = W_i z + b_i             W_i (d, N_z), b_i (d,)
    K_i = <W_out, a_i> + B_out    W_out (kh, B kw, d), B_out (kh, B kw)

The slices K_1..K_B side by side are the block, (B, B, kh, kw). Larger kernels are tiled from blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

import genophen

#: How far a smooth start's blocks are moved apart by their embeddings, beside what is common to all of them.
DIFFERENCE = 0.3
#: Numbers in the first layer of one generator; the whole VGG-Block3 has 204,570.
MAX_GENERATOR = 2**24


class HypernetworkOptions(genophen.KernelOptions):
    embedding_dim: int = Field(
        16, ge=1, le=1024, description="N_z, numbers in the embedding of each basic kernel"
    )
    projection_dim: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="d, hidden width of the generator (default: the same as embedding_dim)",
    )
    basis_channels: int = Field(
        16, ge=1, le=256, description="B, input and output channels of a basic kernel"
    )
    initialization: Literal["fan-in", "smooth", "small"] = Field(
        "fan-in",
        description="'fan-in': kernels start at the variance 2 / fan_in; 'smooth': so too, each a smooth "
        "pattern over its rows and columns; 'small': every tensor normal with standard deviation 0.01",
    )

    @property
    def hidden_width(self) -> int:
        return self.embedding_dim if self.projection_dim is None else self.projection_dim

    @field_validator("initialization", mode="before")
    @classmethod
    def _report_is_called_small(cls, value: object) -> object:
        if value == "report":
            raise ValueError("'small', as 'report' is called now: the report names no initial values")
        return value

    @model_validator(mode="after")
    def _generator_fits_memory(self) -> HypernetworkOptions:
        count = self.basis_channels * self.hidden_width * self.embedding_dim
        if count > MAX_GENERATOR:
            raise ValueError(
                f"basis_channels * projection_dim * embedding_dim up to {MAX_GENERATOR:,}, not {count:,}: "
                "the generator would have more numbers than any network it is meant for"
            )
        return self


@dataclass(frozen=True)
class Tiling:
    """Where the kernel of one target lies among the blocks of its generator."""

    name: str
    shape: tuple[int, ...]
    fan_in: int
    first_block: int
    rows: int
    columns: int

    @property
    def num_blocks(self) -> int:
        return self.rows * self.columns


class KernelGenerator(nn.Module):
    """The two-layer linear map for one kernel size, with the embeddings of all its blocks."""

    def __init__(
        self,
        kernel_size: tuple[int, int],
        fan_ins: list[int],
        options: HypernetworkOptions,
        generator: torch.Generator,
    ) -> None:
        """`fan_ins` has one entry a block: the fan-in of the kernel that the block belongs to."""
        super().__init__()
        kh, kw = kernel_size
        basis, n_z = options.basis_channels, options.embedding_dim
        d = options.hidden_width
        self.kernel_size, self.basis = kernel_size, basis
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
        if options.initialization == "smooth" and kernel_size != (1, 1):
            embeddings, weight_in = _in_turns(embeddings, weight_in, generator)
        self.embeddings = nn.Parameter(embeddings * stds)
        self.weight_in = nn.Parameter(weight_in * std_in)
        self.bias_in = nn.Parameter(torch.zeros(basis, d))
        templates = torch.randn(kh, basis * kw, d, generator=generator) * std_out
        if options.initialization == "smooth":
            templates = torch.einsum(
                "yr,robd,xb->yoxd", _blur(kh), templates.view(kh, basis, kw, d), _blur(kw)
            ).reshape(kh, basis * kw, d)
        self.weight_out = nn.Parameter(templates)
        self.bias_out = nn.Parameter(torch.zeros(kh, basis * kw))

    def forward(self) -> Tensor:
        """All blocks at once, shape (E, B_in, kh, B_out, kw)."""
        d = self.bias_in.shape[1]
        a = F.linear(self.embeddings, self.weight_in.flatten(0, 1), self.bias_in.flatten())  # (E, B d)
        kernels = F.linear(a.view(-1, d), self.weight_out.flatten(0, 1), self.bias_out.flatten())
        kh, kw = self.kernel_size
        return kernels.view(-1, self.basis, kh, self.basis, kw)  # from (E B, kh B kw)


class Hypernetwork(genophen.Genotype):
    """Writes convolution kernels, and dense weights as 1x1 kernels, with one generator a kernel size."""

    name = "hypernetwork"
    description = "a two-layer linear hypernetwork shared by all layers, one embedding a basic kernel"
    Options: ClassVar[type[genophen.Options]] = HypernetworkOptions

    def __init__(
        self,
        options: HypernetworkOptions,
        targets: dict[str, genophen.Target],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.standardized = options.normalization == "standardized"
        self._tilings: dict[str, list[Tiling]] = {}
        fan_ins: dict[str, list[int]] = {}
        for target in targets.values():
            if not target.is_bias:
                size = "{}x{}".format(*_kernel_size(target))
                blocks = fan_ins.setdefault(size, [])
                tiling = _tile(target, options.basis_channels, len(blocks))
                blocks.extend([target.fan_in] * tiling.num_blocks)
                self._tilings.setdefault(size, []).append(tiling)
        self.generators = nn.ModuleDict()
        for size, block_fan_ins in fan_ins.items():
            kh, _, kw = size.partition("x")
            self.generators[size] = KernelGenerator((int(kh), int(kw)), block_fan_ins, options, generator)
        self.biases = genophen.ConvBiases(targets.values(), options.conv_bias)

    def express(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.biases()
        for size, tilings in self._tilings.items():
            blocks = self.generators[size]()  # (E, B_in, kh, B_out, kw)
            for tiling in tilings:
                weights[tiling.name] = self._kernel(tiling, blocks)
        return weights

    def genes(self, scope: str) -> list[str]:
        names = [name for name, _ in self.named_parameters()]
        if scope == "genotype":
            return names
        embeddings = [name for name in names if name.endswith(".embeddings")]
        if scope == "embeddings":
            return embeddings
        return [name for name in names if name.startswith("generators.") and name not in embeddings]

    def _kernel(self, tiling: Tiling, blocks: Tensor) -> Tensor:
        """One target's weight, put together from its blocks, cropped and, if asked for, standardised."""
        last = tiling.first_block + tiling.num_blocks
        _, basis, kh, _, kw = blocks.shape
        tiles = blocks[tiling.first_block : last].view(tiling.rows, tiling.columns, basis, kh, basis, kw)
        tiles = tiles.permute(0, 4, 1, 2, 3, 5)  # (rows, B_out, columns, B_in, kh, kw)
        weight = tiles.reshape(tiling.rows * basis, tiling.columns * basis, kh, kw)
        c_out, c_in = tiling.shape[:2]
        weight = weight[:c_out, :c_in]  # (C_out, C_in, kh, kw)
        if self.standardized:
            weight = genophen.standardize(weight)
        return weight.reshape(tiling.shape)


def _kernel_size(target: genophen.Target) -> tuple[int, int]:
    return (target.shape[2], target.shape[3]) if target.kind == "conv" else (1, 1)


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


def _tile(target: genophen.Target, basis: int, first_block: int) -> Tiling:
    c_out, c_in = target.shape[:2]
    rows, columns = math.ceil(c_out / basis), math.ceil(c_in / basis)
    return Tiling(target.name, target.shape, target.fan_in, first_block, rows, columns)


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(Hypernetwork)

"""Genotypes: the trainable descriptions that write a main network's weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genophen.contracts.options import Options as AnyOptions
from genophen.errors import ConfigError

Scope = Literal["embeddings", "generator", "genotype"]


@dataclass(frozen=True)
class Target:
    """One tensor of the main network that a genotype may write.

    Weights must be written; their kinds, with `shape`:

    - `conv`, a convolution over k = 1 to 3 axes: (C_out, C_in / groups, *kernel);
    - `transposed`, a transposed one: (C_in, C_out / groups, *kernel);
    - `dense`: (C_out, C_in); attention's joint projection is three gates: (3 C_out, C_in);
    - `embedding`, a table: (rows, embedding_dim);
    - `recurrent`, of `nn.RNN`, `nn.GRU`, `nn.LSTM` and their cells, the gates stacked: (gates C_out, C_in);
    - `scale`, the gain of a normalisation: (C,), or any shape that it normalises over.

    `kernel_shape` and `from_kernel` make all of them alike. The bias of the same module is a target of the
    same kind with `-bias`, e.g. `conv-bias`, of shape (C_out,): a genotype that does not write it leaves it a
    direct parameter.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    #: Inputs of one output unit, so that 2 / fan_in is the variance of a weight. A recurrent unit has those
    #: of x and of h; a pixel behind a transposed convolution those of which the strides leave it a share. A
    #: scale has 200: it starts at 1 with a deviation of 0.1. A bias has that of its weight.
    fan_in: int
    #: Position among the expressed layers, from 0; a bias has that of its weight.
    layer_index: int
    #: The value that the main network was built with.
    initial: Tensor
    #: Of a dense weight after a flatten: the (C, H, W) that its inputs are, row by row; None where that is
    #: not known.
    image: tuple[int, int, int] | None = None
    #: Equal parts of the output axis, one below the other, that are matrices of their own.
    gates: int = 1
    #: Groups of a transposed convolution.
    groups: int = 1
    #: The row of an embedding table that stands for padding and is zero.
    padding_index: int | None = None

    @property
    def is_bias(self) -> bool:
        return self.kind.endswith("-bias")

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """A weight's shape with the axes in one order, (C_out, C_in, *kernel): no kernel axes but for
        convolutions, C_in within a group, C_in = 1 for a scale.
        """
        if self.kind == "transposed":
            c_in, c_out, *kernel = self.shape
            return (c_out * self.groups, c_in // self.groups, *kernel)
        return (math.prod(self.shape), 1) if self.kind == "scale" else self.shape

    def from_kernel(self, kernel: Tensor) -> Tensor:
        """The weight itself, of `shape`, from `kernel_shape`; a scale from its difference to 1."""
        if self.kind == "transposed":
            c_out, c_in, *size = self.kernel_shape
            grouped = kernel.view(self.groups, c_out // self.groups, c_in, *size)
            return grouped.transpose(1, 2).reshape(self.shape)
        if self.kind == "scale":
            kernel = 1 + kernel
        if self.padding_index is not None:
            kernel = kernel.index_fill(0, torch.tensor(self.padding_index, device=kernel.device), 0)
        return kernel.reshape(self.shape)


class Genotype(nn.Module, ABC):
    """A trainable description that writes the expressed parameters of a main network.

    Its own `nn.Parameter`s are the kernel parameters of a run. A subclass sets `name` and `description`,
    nests its settings as `Options`, and takes `(options, targets, generator)`: the settings, what is to be
    written by name, and the `torch.Generator` (on the CPU) from which every initial value is drawn. It
    begins with `super().__init__()`, like any module.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type[AnyOptions]] = AnyOptions

    #: Each weight is a parameter of its own, as in an ordinary network: what the others are set beside.
    is_direct: ClassVar[bool] = False
    #: Settings that `title` tells.
    titled: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def title(cls, options: AnyOptions) -> str:
        """What tables and figures call it with these settings; unless a subclass knows better, its name."""
        return cls.name

    def __init__(self, *arguments: object) -> None:
        """Get ready as a module; the arguments are the subclass's, and passing them on is allowed."""
        super().__init__()

    @abstractmethod
    def express(self) -> dict[str, Tensor]:
        """Every weight target's tensor, and those bias targets that this genotype writes, by name.

        The tensors have the targets' shapes, in any order in memory (`Phenotype` puts them in that which the
        images ask for), and the set of names is the same at each call.
        """

    @abstractmethod
    def genes(self, scope: Scope) -> list[str]:
        """Names of this module's parameters in a scope: `embeddings`, `generator` or all (`genotype`).

        Raises:
            ConfigError: where this genotype has nothing in that scope (see `no_genes`).
        """


def no_genes(genotype: Genotype, scope: str) -> ConfigError:
    """The error for a scope in which a genotype has no parameters."""
    return ConfigError(
        f"cannot select the genes {scope!r} of the genotype {genotype.name}",
        found=f"{genotype.name} has no {scope}",
        allowed="genotype",
    )

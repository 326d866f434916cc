"""Genotypes: the trainable descriptions that write a main network's weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from genophen.contracts.options import Options
from genophen.errors import ConfigError

Scope = Literal["embeddings", "generator", "genotype"]


@dataclass(frozen=True)
class Target:
    """One tensor of the main network that a genotype may write.

    A weight has kind `conv`, shape (C_out, C_in / groups, kh, kw), or `dense`, shape (C_out, C_in), and must
    be written. The bias of the same module is a target of kind `conv-bias` or `dense-bias`, shape (C_out,): a
    genotype that does not write it leaves it a direct parameter.
    """

    name: str
    shape: tuple[int, ...]
    kind: Literal["conv", "dense", "conv-bias", "dense-bias"]
    #: Inputs of one output unit, `weight[0].numel()`; a bias has that of its weight.
    fan_in: int
    #: Position among the expressed layers, from 0; a bias has that of its weight.
    layer_index: int
    #: The value that the main network was built with.
    initial: Tensor
    #: Of a dense weight after a flatten: the (C, H, W) that its inputs are, row by row; None where that is
    #: not known.
    image: tuple[int, int, int] | None = None

    @property
    def is_bias(self) -> bool:
        return self.kind.endswith("-bias")


class Genotype(nn.Module, ABC):
    """A trainable description that writes the expressed parameters of a main network.

    Its own `nn.Parameter`s are the kernel parameters of a run. A subclass sets `name` and `description`,
    nests its settings as `Options`, and takes `(options, targets, generator)`: the settings, what is to be
    written by name, and the `torch.Generator` (on the CPU) from which every initial value is drawn. It
    begins with `super().__init__()`, like any module.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type[Options]] = Options

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

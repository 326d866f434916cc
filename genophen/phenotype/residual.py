"""Genotypes that write a difference to the weights that a network was built or loaded with."""

from __future__ import annotations

import torch
from torch import Tensor

from genophen.contracts.dynamic import DynamicGenotype
from genophen.contracts.genotype import Genotype, Scope, Target
from genophen.contracts.options import Options
from genophen.errors import ConfigError
from genophen.phenotype.written import check_written, held_at_zero


class Residual(Genotype):
    """A genotype's weights, less those that it started with, added to the network's own.

    The network's weights and the first ones are frozen: they are buffers, saved with the rest, and counted
    nowhere. At the start the difference is zero, to the bit. Biases that the genotype would hold at zero are
    not written.
    """

    name = "residual"
    description = "a difference to the network's own weights"

    def __init__(
        self, cls: type[Genotype], options: Options, targets: dict[str, Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        if issubclass(cls, DynamicGenotype):
            raise ConfigError(
                f"cannot add what the genotype {cls.name} writes to the network's own weights",
                found="base='initial', and other weights at each step",
                allowed="a genotype that writes its weights once",
                next_step="leave base out",
            )
        self.name = cls.name  # type: ignore[misc]
        like = next(iter(targets.values())).initial
        self.genotype = cls(options, targets, generator).to(like.device, like.dtype)
        with torch.no_grad():
            start = self.genotype.express()
        check_written(self.genotype, start, targets)
        held = held_at_zero(self.genotype, targets)
        self._indices = {name: index for index, name in enumerate(start) if name not in held}
        for name, index in self._indices.items():
            self.register_buffer(f"initial_{index}", targets[name].initial.clone())
            self.register_buffer(f"start_{index}", start[name].detach().clone())

    def express(self) -> dict[str, Tensor]:
        written = self.genotype.express()
        return {
            name: self.get_buffer(f"initial_{index}") + (written[name] - self.get_buffer(f"start_{index}"))
            for name, index in self._indices.items()
        }

    def genes(self, scope: Scope) -> list[str]:
        return [f"genotype.{name}" for name in self.genotype.genes(scope)]

"""The genotype that the checks of other kinds compile with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genophen.contracts.genotype import Genotype, Target
from genophen.contracts.options import Options


class CopyGenotype(Genotype):
    """Writes the weights that the network was built with."""

    name = "copy"
    description = "the network's own weights, as parameters"

    def __init__(self, options: Options, targets: dict[str, Target], generator: torch.Generator) -> None:
        super().__init__()
        self._names = list(targets)
        self.copies = nn.ParameterList(nn.Parameter(target.initial.clone()) for target in targets.values())

    def express(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self.copies, strict=True))

    def genes(self, scope: str) -> list[str]:
        return [name for name, _ in self.named_parameters()]

"""The direct encoding: every weight is its own parameter, as in an ordinary network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import genophen


class Direct(genophen.Genotype):
    """Expressed weights and their biases as plain parameters, with the network's own initial values."""

    name = "direct"
    description = "each expressed weight and its bias is a parameter of its own (the ConvModel)"
    is_direct = True

    @classmethod
    def title(cls, options: genophen.Options) -> str:
        return "ConvModel"

    def __init__(
        self, options: genophen.Options, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self._names = list(targets)
        self.weights = nn.ParameterList(nn.Parameter(target.initial.clone()) for target in targets.values())

    def express(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self.weights, strict=True))

    def genes(self, scope: str) -> list[str]:
        if scope != "genotype":
            raise genophen.no_genes(self, scope)
        return [name for name, _ in self.named_parameters()]


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(Direct)

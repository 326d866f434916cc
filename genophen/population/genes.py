"""Genes where nothing is written before a network runs: those of a dynamic genotype."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from genophen.phenotype.phenotype import Phenotype


class GenesThemselves:
    """Takes the place of `Expression`: what candidates differ in are the phenotype's own numbers, by name."""

    def __init__(self, phenotype: Phenotype) -> None:
        self._phenotype = phenotype

    def numbers(self, genes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All numbers of the phenotype, with the first candidate's of the genes (P, ...) by name."""
        present = {**dict(self._phenotype.named_parameters()), **dict(self._phenotype.named_buffers())}
        return {**present, **{name: stack[0] for name, stack in genes.items()}}

    def reached(self, differing: Mapping[str, Tensor]) -> list[str]:
        """The genes of which some number differs."""
        return [name for name, differs in differing.items() if bool(differs.any())]

    def weights(
        self, genes: Mapping[str, Tensor], names: Collection[str], first: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The genes of these names, (P, ...)."""
        return {name: genes[name] for name in names}

"""Genes to weights: what a genotype writes for many candidates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from genophen.phenotype.phenotype import Phenotype
from genophen.phenotype.targets import aliases


class Expression:
    """The weights, by their names in the main network, that candidates' genes stand for."""

    def __init__(self, phenotype: Phenotype) -> None:
        self._phenotype, self._call = phenotype, _Express(phenotype)
        self._vectorizes: bool | None = None
        self._reached: tuple[dict[str, Tensor], list[str]] | None = None

    def shared(self, genes: Mapping[str, Tensor], varying: set[str]) -> dict[str, Tensor]:
        """All numbers of the main network but the `varying` ones, buffers included, by name.

        They are the phenotype's as it is now, with the first candidate's of the genes (P, ...) by name.
        """
        network, names_of = self._phenotype.network, self._phenotype.names_of
        numbers = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        if any(alias not in varying for names in names_of.values() for alias in names):
            first = {name: stack[0] for name, stack in _of_genotype(genes).items()}
            numbers |= self._every_name(self._of_one(first))
        numbers |= {name: stack[0] for name, stack in self._direct(genes).items()}
        return {name: value for name, value in numbers.items() if name not in varying}

    def reached(self, differing: Mapping[str, Tensor]) -> list[str]:
        """Names of the weights that change with some genes, every name of tied ones.

        `differing`: for each tensor of genes, by name, which of its numbers candidates differ in. Those of
        the genotype are put out of order, and what comes out in order does not depend on them.
        """
        if self._reached is not None and _same(self._reached[0], differing):
            return self._reached[1]
        names = [name for name, differs in self._direct(differing).items() if bool(differs.any())]
        genes = {n: differs for n, differs in _of_genotype(differing).items() if bool(differs.any())}
        if genes:
            numbers = {
                name: self._phenotype.genotype.get_parameter(name).detach().masked_fill(differs, torch.nan)
                for name, differs in genes.items()
            }
            try:
                written = self._of_one(numbers)
                out_of_order = [name for name, weight in written.items() if bool(weight.sum().isnan())]
            except (ArithmeticError, RuntimeError, ValueError):  # a genotype that looks at its numbers
                out_of_order = list(self._phenotype.names_of)
            names += [alias for name in out_of_order for alias in self._phenotype.names_of[name]]
        self._reached = ({name: differs.clone() for name, differs in differing.items()}, names)
        return names

    def weights(self, genes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights (P, ...) by every name of theirs, of genes (P, ...) by name."""
        return {**self._direct(genes), **self._every_name(self._written(_of_genotype(genes)))}

    def _direct(self, genes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The genes that are the main network's own parameters, by every name of theirs there."""
        return {
            alias: stack
            for name, stack in genes.items()
            if name.startswith("network.")
            for alias in aliases(self._phenotype.network, name.removeprefix("network."))
        }

    def _written(self, genes: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the genotype writes, (P, ...) by target name; nothing without genes of its own."""
        if not genes:
            return {}
        count = len(next(iter(genes.values())))
        if count == 1:
            return {name: w[None] for name, w in self._of_one({n: v[0] for n, v in genes.items()}).items()}
        if self._vectorizes is None:
            self._vectorizes = self._try(genes)
        if self._vectorizes:
            return self._of_all(genes)
        each = [self._of_one({name: stack[p] for name, stack in genes.items()}) for p in range(count)]
        return {name: torch.stack([weights[name] for weights in each]) for name in each[0]}

    def _try(self, genes: dict[str, Tensor]) -> bool:
        """Whether two candidates like the phenotype are written over a mapped axis as by themselves."""
        present = {name: self._phenotype.genotype.get_parameter(name).detach() for name in genes}
        expected = self._of_one(present)
        try:
            found = self._of_all({name: torch.stack([value] * 2) for name, value in present.items()})
        except (RuntimeError, TypeError, ValueError, IndexError, UserWarning):
            return False
        return all(torch.allclose(found[name][1], weight, 1e-5, 1e-6) for name, weight in expected.items())

    def _of_all(self, genes: dict[str, Tensor]) -> dict[str, Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of operations that it would loop over itself
            written: dict[str, Tensor] = torch.vmap(self._of_one)(genes)
        return written

    def _of_one(self, genes: dict[str, Tensor]) -> dict[str, Tensor]:
        state = {f"genotype.{name}": value for name, value in genes.items()}
        written: dict[str, Tensor] = functional_call(self._call, state, ())
        return written

    def _every_name(self, written: dict[str, Tensor]) -> dict[str, Tensor]:
        names_of = self._phenotype.names_of
        return {alias: weight for name, weight in written.items() for alias in names_of[name]}


class _Express(nn.Module):
    """A genotype's `express` as a module's forward, so that it can be called with other parameters."""

    def __init__(self, phenotype: Phenotype) -> None:
        super().__init__()
        self.genotype = phenotype.genotype

    def forward(self) -> dict[str, Tensor]:
        return self.genotype.express()


def _of_genotype(genes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix("genotype."): stack for n, stack in genes.items() if n.startswith("genotype.")}


def _same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)

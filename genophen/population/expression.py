"""Genes to weights: what a genotype writes for many candidates."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from genophen.phenotype.gene_names import GENOTYPE, NETWORK, within
from genophen.phenotype.phenotype import Phenotype
from genophen.phenotype.targets import aliases
from genophen.population.nested import in_one_stack

#: Numbers of one candidate's weights from which each candidate's are written, and run, by themselves.
MANY_NUMBERS = 2**18


class Expression:
    """The weights, by their names in the main network, that candidates' genes stand for."""

    def __init__(self, phenotype: Phenotype) -> None:
        self._phenotype, self._call = phenotype, _Express(phenotype)
        #: Where the network's own numbers are held, found once: to walk through all modules takes long.
        self._held = list(_held(phenotype.network))
        self._vectorizes: bool | None = None
        self._reached: tuple[dict[str, Tensor], list[str]] | None = None

    def numbers(self, genes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All numbers of the main network, buffers included, by every name of theirs.

        They are the phenotype's as it is now, with the first candidate's of the genes (P, ...) by name.
        """
        first = {name: stack[0] for name, stack in genes.items()}
        written = self._every_name(self._of_one(within(GENOTYPE, first)))
        present = {name: held[attribute] for name, held, attribute in self._held}
        return {**present, **written, **self._direct(first)}

    def reached(self, differing: Mapping[str, Tensor]) -> list[str]:
        """Names of the weights that change with some genes, every name of tied ones.

        `differing`: for each tensor of genes, by name, which of its numbers candidates differ in. Those of
        the genotype are put out of order, and what comes out in order does not depend on them.
        """
        if self._reached is not None and _same(self._reached[0], differing):
            return self._reached[1]
        names = [name for name, differs in self._direct(differing).items() if bool(differs.any())]
        genes = {n: differs for n, differs in within(GENOTYPE, differing).items() if bool(differs.any())}
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

    def weights(
        self, genes: Mapping[str, Tensor], names: Collection[str], first: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Those of the weights, (P, ...) by `names` of theirs, that genes (P, ...) by name stand for.

        `first`, where it is given: the first candidate's, by name.
        """
        weights = self._every_name(self._written(within(GENOTYPE, genes), names, first or {}))
        weights |= self._direct(genes)
        return {name: weights[name] for name in names}

    def _direct(self, genes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The genes that are the main network's own parameters, by every name of theirs there."""
        return {
            alias: stack
            for name, stack in within(NETWORK, genes).items()
            for alias in aliases(self._phenotype.network, name)
        }

    def _written(
        self, genes: dict[str, Tensor], names: Collection[str], first: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """What the genotype writes, (P, ...) by target name, of what has one of the `names`."""
        named = set(names)
        wanted = [t for t, own in self._phenotype.names_of.items() if not named.isdisjoint(own)]
        if not genes or not wanted:
            return {}
        if self._vectorizes is None:
            self._vectorizes = self._small() and self._try(genes)
        if self._vectorizes:
            written = self._of_all(genes)
            return {target: written[target] for target in wanted}
        each = {target: [first[target]] if first else [] for target in wanted}
        for p in range(1 if first else 0, len(next(iter(genes.values())))):
            written = self._of_one({name: stack[p] for name, stack in genes.items()})
            for target in wanted:
                each[target].append(written[target])
        return {target: in_one_stack(weights) for target, weights in each.items()}

    def _small(self) -> bool:
        """Whether a candidate's weights take less time than the calls that write them."""
        targets = self._phenotype.targets.values()
        return sum(math.prod(target.shape) for target in targets) < MANY_NUMBERS

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


def _held(network: nn.Module) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Every parameter's and buffer's name, the module's dict that holds it, and its name there."""
    for path, module in network.named_modules():
        for held in (module._parameters, module._buffers):
            for attribute, value in held.items():
                if value is not None:
                    yield f"{path}.{attribute}" if path else attribute, held, attribute


def _same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)

"""Names of a phenotype's parameters, which say whether they are the genotype's or the main network's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

GENOTYPE, NETWORK = "genotype.", "network."
#: Of the task's own numbers, which the phenotype is kept with.
STATISTICS = "statistics."


def of_genotype(names: Iterable[str]) -> list[str]:
    """The phenotype's names of parameters that have these names in the genotype."""
    return [GENOTYPE + name for name in names]


def of_network(names: Iterable[str]) -> list[str]:
    """The phenotype's names of parameters that have these names in the main network."""
    return [NETWORK + name for name in names]


def within(part: str, values: Mapping[str, T]) -> dict[str, T]:
    """What belongs to a part, GENOTYPE or NETWORK, by the names there."""
    return {name.removeprefix(part): value for name, value in values.items() if name.startswith(part)}

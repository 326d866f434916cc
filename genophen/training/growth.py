"""What a run records of a genotype that grows: its structure at the end of each round."""

from __future__ import annotations

from typing import Any

from genophen.contracts.genotype import Genotype
from genophen.contracts.growing import GrowingGenotype

#: Larger genotypes are not recorded: nobody could make out their pictures, and the file would grow too large.
MOST_NUMBERS = 10_000


def growth_row(genotype: Genotype, number: int) -> dict[str, Any] | None:
    """A row of `growth.jsonl`: structure and numbers after a round, for a report; None: nothing grows."""
    if not isinstance(genotype, GrowingGenotype):
        return None
    parameters = dict(genotype.named_parameters())
    if sum(parameter.numel() for parameter in parameters.values()) > MOST_NUMBERS:
        return None
    weights = {name: parameter.detach().flatten().tolist() for name, parameter in parameters.items()}
    return {"round": number, "structure": genotype.structure(), "weights": weights}

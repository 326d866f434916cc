"""Growing genotypes: those whose structure changes under search."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genophen.contracts.genotype import Genotype
from genophen.errors import DamagedError

_STRUCTURE = "_extra_state"  # as torch calls what a module adds to its state


@dataclass(frozen=True)
class Drawing:
    """A structure as nodes and links between them, for a picture."""

    #: Name of each node, and the column that it stands in, from 0 at the left.
    nodes: Sequence[tuple[str, int]]
    #: Source and target of each link, places in `nodes`, and its weight: the sign is told by colour.
    links: Sequence[tuple[int, int, float]]


class GrowingGenotype(Genotype):
    """A genotype whose structure can change, and with it the shapes of its parameters.

    The structure is part of its state: `state_dict` holds it as the bytes of a JSON text, and
    `load_state_dict` takes it over before the weights, so that whatever saves weights saves the structure.
    """

    @abstractmethod
    def structure(self) -> Any:
        """The present structure as plain data: numbers, strings, and lists and dicts of them."""

    @abstractmethod
    def restructure(self, structure: Any) -> None:
        """Take another structure; the parameters are new ones, of any values.

        Raises:
            ValueError: for data that is no structure, with what is wrong with it.
        """

    def drawing(self) -> Drawing | None:
        """What a report is to draw of the present structure and weights; None: nothing."""
        return None

    def get_extra_state(self) -> Tensor:
        text = json.dumps(self.structure(), separators=(",", ":"))
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Nothing is left to do: `restore_structure` has come before the weights."""

    def restore_structure(self, state_dict: dict[str, Any], prefix: str = "") -> None:
        """Take over the structure, but not the weights, of a state whose names have a prefix.

        Raises:
            DamagedError: for what is no structure of this genotype.
        """
        saved = state_dict.get(prefix + _STRUCTURE)
        if saved is None:  # load_state_dict itself says that it is missing
            return
        try:
            self.restructure(json.loads(bytes(saved.tolist())))
        except (ValueError, TypeError, RecursionError) as error:
            raise self._damaged(str(error)) from None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        self.restore_structure(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)
        for name, parameter in self.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise self._damaged(f"{name} has numbers that are not finite")

    def _damaged(self, found: str) -> DamagedError:
        return DamagedError(
            f"cannot restore the structure of the genotype {self.name}",
            found=found,
            allowed="a structure that this genotype has saved, with finite weights",
            next_step="take another checkpoint of the run: genophen resume DIR --checkpoint NAME",
        )

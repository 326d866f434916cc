"""Dynamic genotypes: descriptions that write a recurrent network's weights anew at every time step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genophen.contracts.genotype import Genotype


class _Changing:
    """A weight that is another one for each sample; only a dense product can be taken with it."""

    def linear(self, x: Tensor) -> Tensor:
        """Each sample's x (N, C_in) times its own weight: (N, C_out)."""
        raise NotImplementedError

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is not F.linear or not isinstance(args[1], cls):
            raise TypeError(
                f"{getattr(func, '__name__', func)} on a weight that changes at every step: write the step "
                "with torch.nn.functional.linear(x, weight), as genophen's own cells do"
            )
        bias = (*args[2:], *(kwargs or {}).values())
        product = args[1].linear(args[0])
        return product if not bias or bias[0] is None else product + bias[0]


@dataclass(frozen=True, eq=False)
class Scaled(_Changing):
    """One weight whose rows have a scale of each sample's own; diag(rows) weight is never built.

    `weight` (C_out, C_in), `rows` (N, C_out).
    """

    weight: Tensor
    rows: Tensor

    def linear(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight) * self.rows


@dataclass(frozen=True, eq=False)
class PerSample(_Changing):
    """A weight for each sample: `weight` (N, C_out, C_in), or (N, heads, C_out / heads, C_in / heads).

    With heads it is the matrix of those blocks on its diagonal.
    """

    weight: Tensor

    def linear(self, x: Tensor) -> Tensor:
        parts = x.view(len(x), *self.weight.shape[1:-2], self.weight.shape[-1], 1)  # (N, [heads,] C_in, 1)
        return torch.matmul(self.weight, parts).flatten(1)


#: What a genotype writes for a target at one time step: a weight that is the same for all samples, one for
#: each, or, of a bias, a tensor (N, C_out).
Written = Tensor | Scaled | PerSample


@dataclass(frozen=True, eq=False)
class CellSteps:
    """A cell as `DynamicGenotype.run_sequence` has it."""

    #: The cell itself, whose expressed weights are not in it.
    module: nn.Module
    #: Puts what is written into the cell and calls it: `step(written, x_t, carried)` gives the output and
    #: what is carried on.
    step: Callable[[Mapping[str, Written], Tensor, Any], tuple[Tensor, Any]]


class DynamicGenotype(Genotype):
    """A genotype whose weights depend on the time step and the sample: it has a state of its own.

    It writes for the *cells* of a recurrent network, the modules that own its targets: each time one is
    called as `cell(x, state)`, `express_at` is asked for the tensors of that cell. `express` gives the
    weights that they are changes of.
    """

    @abstractmethod
    def begin(self, cell: str, batch_size: int) -> Any:
        """The genotype's state for the module `cell` before the first step, its tensors (N, ...)."""

    @abstractmethod
    def express_at(
        self, cell: str, x: Tensor, hidden: Tensor | None, state: Any
    ) -> tuple[dict[str, Written], Any]:
        """The tensors of a cell's targets at one step, by target name, and the genotype's next state.

        x: what the cell reads, (N, F). hidden: what it carries from the step before, the first tensor of its
        state, (N, H); None at the start, or where it carries nothing.
        """

    def run_sequence(
        self, cell: str, steps: CellSteps, x: Tensor, carried: Any, state: Any
    ) -> tuple[Tensor, Any, Any] | None:
        """All steps of a cell, where the genotype has a faster way than one `express_at` after the other.

        x (N, T, F) to the outputs (N, T, ...), what the cell carries and the genotype's own state after the
        last step: the same to rounding. None, as here: step by step.
        """
        return None

    def pictured(self, cell: str, state: Any) -> dict[str, Tensor]:
        """What of its state at a cell is worth a picture, by name: numbers (N, K) or matrices (N, H, W).

        Reports draw numbers over time, and matrices at some steps. None, as here: nothing is drawn.
        """
        return {}

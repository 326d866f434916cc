"""A network whose expressed weights are written anew each time one of its cells takes a step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from genophen.contracts.dynamic import CellSteps, DynamicGenotype, Written
from genophen.errors import ConfigError, GenophenError
from genophen.phenotype.slots import WeightSlots


class ChangingWeights:
    """Asks a dynamic genotype for the weights of each cell whenever that is called, and carries its state.

    What goes into a run and comes out of it is a pair: the network's own state, and the genotype's by cell.
    """

    def __init__(
        self, network: nn.Module, genotype: DynamicGenotype, slots: WeightSlots, targets: Iterable[str]
    ) -> None:
        try:
            inspect.signature(network.forward).bind(None, None)
        except TypeError:
            raise ConfigError(
                f"cannot run the network on the genotype {genotype.name}",
                found=f"its forward takes {inspect.signature(network.forward)}",
                allowed="a recurrent network, which maps (x, state) to (outputs, state)",
            ) from None
        self._genotype, self._slots = genotype, slots
        self._states: dict[str, Any] | None = None
        #: Whether the genotype itself takes a cell from step to step.
        self._in_sequence = False
        #: The weights that the genotype writes changes of, while the network runs.
        self._base: dict[str, Tensor] = {}
        for cell in dict.fromkeys(name.rpartition(".")[0] for name in targets):
            network.get_submodule(cell).register_forward_pre_hook(_Asking(self, cell), with_kwargs=True)

    def run(self, call: Callable[..., Any], x: Tensor, state: Any = None) -> tuple[Any, Any]:
        """The outputs of `call(x, network_state)` and the pair of states after it.

        Raises:
            GenophenError: where the network carries no state.
        """
        own, written = (None, {}) if state is None else state
        self._states = dict(written)
        self._base = self._genotype.express()
        try:
            result = call(x, own)
        finally:
            self._slots.clear()
            states, self._states, self._base = self._states, None, {}
        if not isinstance(result, tuple) or len(result) != 2:
            raise GenophenError(
                f"cannot run the network on the genotype {self._genotype.name}",
                found=f"it returned {type(result).__name__}",
                allowed="a recurrent network, which maps (x, state) to (outputs, state)",
            )
        return result[0], (result[1], states)

    def before_step(self, cell: str, args: tuple[Any, ...], kwargs: Any) -> None:
        """Write the weights of a cell for the step that it is about to take."""
        if self._states is None or self._in_sequence:
            return
        x, carried = args[0], args[1] if len(args) > 1 else kwargs.get("state")
        written, self._states[cell] = self._genotype.express_at(
            cell, x, _hidden(carried), self._state(cell, len(x))
        )
        self._write(cell, written)

    def all_steps(self, cell: str, module: nn.Module, x: Tensor, carried: Any) -> tuple[Tensor, Any] | None:
        """Outputs and last state of a cell on whole sequences, where the genotype has a way of its own."""
        if self._states is None:
            return None

        def step(written: Mapping[str, Written], x_t: Tensor, carried: Any) -> tuple[Tensor, Any]:
            self._write(cell, written)
            result: tuple[Tensor, Any] = module(x_t, carried)
            return result

        self._in_sequence = True
        try:
            done = self._genotype.run_sequence(
                cell, CellSteps(module, step), x, carried, self._state(cell, len(x))
            )
        finally:
            self._in_sequence = False
        if done is None:
            return None
        outputs, carried, self._states[cell] = done
        return outputs, carried

    def _state(self, cell: str, batch_size: int) -> Any:
        assert self._states is not None
        if cell in self._states:
            return self._states[cell]
        return self._genotype.begin(cell, batch_size)

    def _write(self, cell: str, written: Mapping[str, Written]) -> None:
        unchanged = {name: w for name, w in self._base.items() if name.rpartition(".")[0] == cell}
        self._slots.fill({**unchanged, **written})


@dataclass(frozen=True, eq=False)
class _Asking:
    """The hook of one cell."""

    changing: ChangingWeights
    cell: str

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Any) -> None:
        self.changing.before_step(self.cell, args, kwargs)

    def all_steps(self, module: nn.Module, x: Tensor, carried: Any) -> tuple[Tensor, Any] | None:
        return self.changing.all_steps(self.cell, module, x, carried)


def _hidden(carried: Any) -> Tensor | None:
    """The first tensor of a cell's state."""
    while isinstance(carried, tuple | list) and carried:
        carried = carried[0]
    return carried if isinstance(carried, Tensor) else None

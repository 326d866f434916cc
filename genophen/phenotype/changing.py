"""A network whose expressed weights are written anew each time one of its cells takes a step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import Tensor, nn

from genophen.contracts.dynamic import DynamicGenotype
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
        #: The weights that the genotype writes changes of, while the network runs.
        self._base: dict[str, Tensor] = {}
        for cell in dict.fromkeys(name.rpartition(".")[0] for name in targets):
            hook = partial(self._before_step, cell)
            network.get_submodule(cell).register_forward_pre_hook(hook, with_kwargs=True)

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

    def _before_step(self, cell: str, module: nn.Module, args: tuple[Any, ...], kwargs: Any) -> None:
        if self._states is None:
            return
        x, carried = args[0], args[1] if len(args) > 1 else kwargs.get("state")
        state = self._states[cell] if cell in self._states else self._genotype.begin(cell, len(x))
        written, self._states[cell] = self._genotype.express_at(cell, x, _hidden(carried), state)
        unchanged = {name: w for name, w in self._base.items() if name.rpartition(".")[0] == cell}
        self._slots.fill({**unchanged, **written})


def _hidden(carried: Any) -> Tensor | None:
    """The first tensor of a cell's state."""
    while isinstance(carried, tuple | list) and carried:
        carried = carried[0]
    return carried if isinstance(carried, Tensor) else None

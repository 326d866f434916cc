"""Networks that say themselves in numbers, whatever these are: Python's, arrays, tensors, symbols.

A class of networks has a method `in_numbers(weights, ops)` for this: a function of a tuple of F
numbers and a state (None at first) that gives A numbers and the next state. Weights are nested lists by name.
Products are sums one after the other (`genophen.added`), functions those of `ops`. A dynamic genotype has
`numeric(network)`: a function of its own weights, the network's and `ops` that makes such a controller; None
for a network whose steps it cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genophen.control.batch import Controllers
from genophen.control.tracing import MakeController
from genophen.control.world import ARRAYS, Arithmetic, Value
from genophen.phenotype.gene_names import GENOTYPE, NETWORK, within
from genophen.phenotype.phenotype import Phenotype


def numeric(network: nn.Module) -> MakeController | None:
    """What makes controllers of the weights of a network or phenotype; None where it says nothing."""
    if not isinstance(network, Phenotype):
        return getattr(network, "in_numbers", None)
    find: Any = getattr(network.genotype, "numeric", None)
    said = None if find is None else find(network.network)
    if said is None:
        return None

    def make(weights: Mapping[str, Any], ops: Arithmetic) -> Any:
        return said(within(GENOTYPE, weights), within(NETWORK, weights), ops)

    return make


class NumericControllers(Controllers):
    """Networks that say themselves in numbers, in arrays or tensors (P, E) of them."""

    def __init__(self, make: MakeController, weights: Mapping[str, Value], ops: Arithmetic) -> None:
        """`weights`: stacks (P, *shape) by name."""
        self._make, self._weights, self._ops = make, weights, ops
        self._act = make({name: _nested(stack) for name, stack in weights.items()}, ops)
        self.count = len(next(iter(weights.values())))

    def __call__(self, seen: Value, memory: Any, ops: Arithmetic) -> tuple[Value, Any]:
        shape = seen.shape[:2]
        actions, memory = self._act(tuple(seen[..., i] for i in range(seen.shape[-1])), memory)
        spread = [_spread(each, shape) for each in actions]
        stacked = np.stack(spread, -1) if self._ops is ARRAYS else torch.stack(spread, -1)
        return stacked, _each(memory, shape)

    def some(self, rows: np.ndarray) -> Controllers:
        chosen = {name: stack[rows] for name, stack in self._weights.items()}
        return NumericControllers(self._make, chosen, self._ops)


def _nested(stack: Value) -> Any:
    """Nested lists of one candidate's shape, whose numbers are (P, 1)."""
    if stack.ndim == 1:
        return stack[:, None]
    return [_nested(stack[:, i]) for i in range(stack.shape[1])]


def _spread(value: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(value, Tensor):
        return value.expand(shape)
    return np.broadcast_to(value, shape)


def _each(memory: Any, shape: tuple[int, ...]) -> Any:
    """A memory whose numbers are all (P, E), so that pairs can be left out."""
    if isinstance(memory, Mapping):
        return {name: _each(item, shape) for name, item in memory.items()}
    if isinstance(memory, list | tuple):
        return type(memory)(_each(item, shape) for item in memory)
    return None if memory is None else _spread(memory, shape)

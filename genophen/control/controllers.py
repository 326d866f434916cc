"""Networks as controllers: in double precision, since an episode repeats them thousands of times.

A network may have two methods more than a module, for speed (both are as its `forward` to rounding):

- `respond(weights, x, state, ops)`: outputs (P, E, A) and the next state of networks with
  weights (P, *shape) by name on inputs (P, E, F), in arrays or in tensors;
- `in_numbers(weights, ops)`, of one network in numbers of any kind (see `numeric`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from genophen.control.batch import Controllers, run_together
from genophen.control.compiled import run_few
from genophen.control.episodes import Episodes
from genophen.control.numeric import NumericControllers, numeric
from genophen.control.tracing import MakeController
from genophen.control.world import ARRAYS, TENSORS, Arithmetic, Value, World
from genophen.population.networks import Networks

#: Pairs of a candidate and a start up to which Python's floats are faster than arrays.
FEW = 32


class NetworkControllers(Controllers):
    """Networks that map (observations, state) to (actions, state), or observations to actions alone."""

    def __init__(self, networks: Networks) -> None:
        self._networks, self.count = networks.to(torch.float64), networks.count

    def __call__(self, seen: Value, memory: Any, ops: Arithmetic) -> tuple[Value, Any]:
        x = torch.from_numpy(seen) if ops is ARRAYS else seen
        if self._networks.carries_state:
            actions, memory = self._networks(x, memory, own=True)
        else:
            actions = self._networks(x, own=True)
        return actions.numpy() if ops is ARRAYS else actions, memory

    def some(self, rows: np.ndarray) -> Controllers:
        return NetworkControllers(self._networks.some(torch.from_numpy(rows)))


class RespondingControllers(Controllers):
    """Networks whose class has `respond`, on stacks of weights."""

    def __init__(self, respond: Any, weights: dict[str, Value]) -> None:
        self._respond, self._weights = respond, weights
        self.count = len(next(iter(weights.values())))

    def __call__(self, seen: Value, memory: Any, ops: Arithmetic) -> tuple[Value, Any]:
        outputs: tuple[Value, Any] = self._respond(self._weights, seen, memory, ops)
        return outputs

    def some(self, rows: np.ndarray) -> Controllers:
        chosen = {name: stack[rows] for name, stack in self._weights.items()}
        return RespondingControllers(self._respond, chosen)


def run_networks(world: World, networks: Networks, starts: Tensor, horizon: int) -> Episodes:
    """All pairs of networks and starts (E, S) in a world; the steps taken are counted, each as one sample.

    Which way they are run depends on nothing but how many they are, so that a resumed run takes the same.
    """
    network: Any = networks.network
    make = numeric(network)
    weights = {name: stack.double() for name, stack in networks.weights().items()}
    with networks.samples.paused():
        if networks.count * len(starts) <= FEW and make is not None:
            episodes = run_few(world, network, make, weights, starts, horizon)
        else:
            controllers = _together(networks, make, weights, starts)
            episodes = run_together(world, controllers, starts, horizon)
    networks.samples.count_episodes(episodes.steps.numel(), int(episodes.steps.sum()))
    return episodes


def as_controllers(networks: Networks) -> Controllers:
    """Networks as controllers that take and give arrays, for worlds of one's own (see `EpisodicTask.run`).

    Call them within `networks.samples.paused()`, and count with `networks.samples.count_episodes`.
    """
    weights = {name: stack.double().cpu() for name, stack in networks.weights().items()}
    none = torch.zeros(0, dtype=torch.float64)
    return _together(networks, numeric(networks.network), weights, none)


def _together(
    networks: Networks, make: MakeController | None, weights: dict[str, Tensor], starts: Tensor
) -> Controllers:
    """The controllers of many pairs, in the way that is fastest."""
    network: Any = networks.network
    arrays = starts.device.type == "cpu"
    own = {name: stack.numpy() if arrays else stack for name, stack in weights.items()}
    if hasattr(network, "respond"):
        return RespondingControllers(network.respond, own)
    if make is not None:
        return NumericControllers(make, own, ARRAYS if arrays else TENSORS)
    return NetworkControllers(networks)

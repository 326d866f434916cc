"""Networks as controllers: in double precision, since an episode repeats them thousands of times.

A network may say more about itself than a module does, for speed (both are as its `forward` to rounding):

- `respond(weights, x, state, ops)`, a static method: outputs (P, E, A) and the next state of networks with
  weights (P, *shape) by name on inputs (P, E, F), in arrays or in tensors;
- `in_numbers(weights, ops)`: a function of a tuple of F numbers and a state (None at first) that gives A
  numbers and the next state, of one network with weights in nested lists. Its products are sums one after the
  other (`genophen.added`), its functions those of `ops`: it is also called on symbols, to be compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from genophen.control.batch import Controllers, run_together
from genophen.control.compiled import run_few
from genophen.control.episodes import Episodes
from genophen.control.world import ARRAYS, Arithmetic, Value, World
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
    weights = {name: stack.double() for name, stack in networks.weights().items()}
    with networks.samples.paused():
        if networks.count * len(starts) <= FEW and hasattr(network, "in_numbers"):
            episodes = run_few(world, network, weights, starts, horizon)
        elif hasattr(network, "respond"):
            own = {
                name: stack.numpy() if starts.device.type == "cpu" else stack
                for name, stack in weights.items()
            }
            episodes = run_together(world, RespondingControllers(network.respond, own), starts, horizon)
        else:
            episodes = run_together(world, NetworkControllers(networks), starts, horizon)
    networks.samples.count_episodes(episodes.steps.numel(), int(episodes.steps.sum()))
    return episodes

"""One episode of one network, kept state by state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genophen.contracts.playback import Playback
from genophen.control.controllers import NetworkControllers
from genophen.control.episodes import PlainController
from genophen.control.numeric import numeric
from genophen.control.world import ARRAYS, NUMBERS, World
from genophen.population.networks import Networks

#: More frames than these are not to be told apart, and make large files.
MOST_FRAMES = 500


def play(world: World, network: Networks, start: Tensor, steps: int) -> Playback:
    """The episode of one network from a start (S,), for so many steps at the most; nothing is counted."""
    state, memory = tuple(start.tolist()), None
    states, returned, failed = [state], 0.0, False
    with network.samples.paused():
        act = _controller(network)
        for _ in range(steps):
            action, memory = act(world.observe(state, NUMBERS), memory)
            before, state = state, world.advance(state, tuple(action), NUMBERS)
            returned += world.reward(before, tuple(action), state, NUMBERS)
            states.append(state)
            if not world.alive(state, NUMBERS):
                failed = True
                break
    every = -(-len(states) // MOST_FRAMES)
    shown = [*states[:-1:every], states[-1]]
    return Playback(
        frames=[world.picture(each) for each in shown],
        view=world.view,
        seconds=every * world.seconds,
        steps=len(states) - 1,
        returned=returned,
        failed=failed,
        words=world.words,
    )


def _controller(network: Networks) -> PlainController:
    make = numeric(network.network)
    if make is not None:
        rows = {name: stack[0].double().tolist() for name, stack in network.weights().items()}
        return make(rows, NUMBERS)
    together = NetworkControllers(network)

    def act(seen: tuple[float, ...], memory: Any) -> tuple[list[float], Any]:
        x = torch.tensor([[seen]], dtype=torch.float64).numpy()  # (1, 1, F)
        actions, memory = together(x, memory, ARRAYS)
        return actions[0, 0].tolist(), memory

    return act

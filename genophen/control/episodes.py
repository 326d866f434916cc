"""Episodes: what controllers did in a world, from given starts to the end or to a horizon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genophen.control.world import NUMBERS, World, added

#: What one controller does, in plain numbers: observations, memory -> actions, memory. It begins with None.
PlainController = Callable[[tuple[float, ...], Any], tuple[Sequence[float], Any]]


@dataclass(frozen=True)
class Episodes:
    """How P candidates did from E starts: tensors (P, E) on the CPU."""

    #: Steps taken, int64; the one that failed is among them.
    steps: Tensor
    #: Whether the episode ended before the horizon.
    failed: Tensor
    #: Sum of the rewards, float64.
    returns: Tensor
    #: Sum of the world's signal over the last `window` steps after which the episode went on, float64.
    recent: Tensor

    @property
    def survived(self) -> Tensor:
        """Steps after which the episode went on, int64 (P, E)."""
        return self.steps - self.failed.long()


def run_in_numbers(
    world: World, controllers: Sequence[PlainController], starts: Tensor, horizon: int
) -> Episodes:
    """Each pair of a controller and a start (E, S) by itself, in Python's floats: faster for few pairs.

    Equal to `run_together` but for the last digits of the functions in `ops`, and of sums.
    """
    rows = [_episode(world, each, start, horizon) for each in controllers for start in starts.tolist()]
    kinds = (torch.int64, torch.bool, torch.float64, torch.float64)
    shape = (len(controllers), len(starts))
    columns = [
        torch.tensor(column, dtype=kind).view(shape)
        for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)
    ]
    return Episodes(*columns)


def _episode(
    world: World, controller: PlainController, start: list[float], horizon: int
) -> tuple[int, bool, float, float]:
    """Steps, whether it failed, return and recent signal of one episode."""
    state, memory, returned = tuple(start), None, 0.0
    recent = [0.0] * world.window
    for step in range(horizon):
        action, memory = controller(world.observe(state, NUMBERS), memory)
        before, state = state, world.advance(state, tuple(action), NUMBERS)
        returned += world.reward(before, tuple(action), state, NUMBERS)
        if not world.alive(state, NUMBERS):
            return step + 1, True, returned, added(recent)
        if recent:
            recent[step % world.window] = world.signal(state, NUMBERS)
    return horizon, False, returned, added(recent)

"""All pairs of candidates and starts at once, in arrays or in tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genophen.control.episodes import Episodes
from genophen.control.world import ARRAYS, TENSORS, Arithmetic, Value, World


class Controllers(ABC):
    """P controllers, called together; memory is None at the start of the episodes."""

    count: int

    @abstractmethod
    def __call__(self, seen: Value, memory: Any, ops: Arithmetic) -> tuple[Value, Any]:
        """Actions (P, E, num_actions) on observations (P, E, num_observations), and the new memory.

        They are arrays or tensors, as `ops` are; of memory, which is made of them, the first axes are (P, E).
        """

    @abstractmethod
    def some(self, rows: np.ndarray) -> Controllers:
        """Those of these rows."""


def run_together(world: World, controllers: Controllers, starts: Tensor, horizon: int) -> Episodes:
    """All pairs of a controller and a start (E, S), step by step, until all episodes are over.

    What has ended stays as it is: its state, its counts, its last signals. Controllers and starts none of
    whose episodes go on are left out once half of the pairs is.
    """
    batch = _Batch(world, controllers, starts)
    # The last number of a controller that fails is often beyond all bounds.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for step in range(horizon):
            batch.step(step)
            if not batch.alive.any():
                break
            batch.leave_out()
    return batch.episodes()


class _Batch:
    """Episodes under way: in arrays on the CPU, in tensors elsewhere.

    Counts, in arrays, are of the rows and columns of pairs that are left; what is done is of all.
    """

    def __init__(self, world: World, controllers: Controllers, starts: Tensor) -> None:
        self._world, self._controllers, self._memory = world, controllers, None
        self._device = starts.device
        self._ops = ARRAYS if starts.device.type == "cpu" else TENSORS
        shape = (controllers.count, len(starts))
        self._rows, self._columns = np.arange(shape[0]), np.arange(shape[1])
        self._state = tuple(self._own(column.expand(shape).contiguous()) for column in starts.T)
        self.alive = np.ones(shape, bool)
        self._steps, self._returns = np.zeros(shape, np.int64), np.zeros(shape)
        self._recent = np.zeros((world.window, *shape))
        self._done = (np.ones(shape, bool), np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape))

    def step(self, step: int) -> None:
        world, ops, before, alive = self._world, self._ops, self._state, self.alive
        seen = self._stacked(world.observe(before, ops))  # (P, E, F)
        outputs, self._memory = self._controllers(seen, self._memory, ops)
        action = tuple(outputs[..., i] for i in range(outputs.shape[-1]))
        after = world.advance(before, action, ops)
        reward = self._array(world.reward(before, action, after, ops))
        self._returns = np.where(alive, self._returns + reward, self._returns)
        self._steps += alive
        living = self._own(torch.from_numpy(alive))
        self._state = tuple(ops.where(living, new, old) for new, old in zip(after, before, strict=True))
        self.alive = alive & self._array(world.alive(self._state, ops))
        if world.window:
            slot = self._recent[step % world.window]
            np.copyto(slot, self._array(world.signal(self._state, ops)), where=self.alive)

    def leave_out(self) -> None:
        """Go on with the rows and columns in which something is alive, where they hold half of the pairs."""
        rows, columns = (np.flatnonzero(self.alive.any(axis)) for axis in (1, 0))
        if 2 * len(rows) * len(columns) > self.alive.size:
            return
        self._note()
        if len(rows) < len(self._rows):
            self._controllers = self._controllers.some(rows)
        place = np.ix_(rows, columns)
        self._state = tuple(_cut(value, rows, columns) for value in self._state)
        self._memory = _cut(self._memory, rows, columns)
        self.alive, self._steps, self._returns = self.alive[place], self._steps[place], self._returns[place]
        self._recent = self._recent[:, rows][:, :, columns]
        self._rows, self._columns = self._rows[rows], self._columns[columns]

    def episodes(self) -> Episodes:
        self._note()
        alive, steps, returns, recent = map(torch.from_numpy, self._done)
        return Episodes(steps, ~alive, returns, recent)

    def _note(self) -> None:
        """Keep how the rows and columns that are left stand."""
        place = np.ix_(self._rows, self._columns)
        for done, now in zip(
            self._done, (self.alive, self._steps, self._returns, self._recent.sum(0)), strict=True
        ):
            done[place] = now

    def _own(self, tensor: Tensor) -> Value:
        return tensor.numpy() if self._ops is ARRAYS else tensor.to(self._device)

    def _stacked(self, values: tuple[Value, ...]) -> Value:
        if self._ops is ARRAYS:
            return np.stack(np.broadcast_arrays(*values), -1)
        return torch.stack(torch.broadcast_tensors(*values), -1)

    def _array(self, value: Value) -> Any:
        return value.cpu().numpy() if isinstance(value, Tensor) else value


def _cut(value: Any, rows: np.ndarray, columns: np.ndarray) -> Any:
    """Some rows and columns of arrays or tensors (P, E, ...), also within tuples and dicts."""
    if isinstance(value, np.ndarray):
        return value[rows][:, columns]
    if isinstance(value, Tensor):
        return value[torch.from_numpy(rows)][:, torch.from_numpy(columns)]
    if isinstance(value, tuple | list):
        return type(value)(_cut(item, rows, columns) for item in value)
    if isinstance(value, dict):
        return {name: _cut(item, rows, columns) for name, item in value.items()}
    return value

"""All pairs of candidates and starts at once, in tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from genophen.control.episodes import Episodes
from genophen.control.world import TENSORS, World


class Controllers(ABC):
    """P controllers, called together; memory is None at the start of the episodes."""

    count: int

    @abstractmethod
    def __call__(self, seen: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Actions (P, E, num_actions) on observations (P, E, num_observations), and the new memory."""

    @abstractmethod
    def some(self, rows: Tensor) -> Controllers:
        """Those of these rows."""


def run_in_tensors(world: World, controllers: Controllers, starts: Tensor, horizon: int) -> Episodes:
    """All pairs of a controller and a start (E, S), step by step, until all episodes are over.

    What has ended stays as it is: its state, its counts, its last signals. Controllers and starts none of
    whose episodes go on are left out once half of the pairs is.
    """
    batch = _Batch(world, controllers, starts)
    for step in range(horizon):
        batch.step(step)
        if not bool(batch.alive.any()):
            break
        batch.leave_out()
    return batch.episodes()


class _Batch:
    """Episodes under way. Results are (P, E) of all; the rest is of the rows and columns that are left."""

    def __init__(self, world: World, controllers: Controllers, starts: Tensor) -> None:
        self._world, self._controllers, self._memory = world, controllers, None
        shape, device = (controllers.count, len(starts)), starts.device
        self._rows, self._columns = (torch.arange(n, device=device) for n in shape)
        self._state = tuple(column.expand(shape) for column in starts.T)
        self.alive = torch.ones(shape, dtype=torch.bool, device=device)
        self._steps = torch.zeros(shape, dtype=torch.int64, device=device)
        self._returns = torch.zeros(shape, dtype=starts.dtype, device=device)
        self._recent = torch.zeros((world.window, *shape), dtype=starts.dtype, device=device)
        self._done: tuple[Tensor, ...] = (self.alive.clone(), self._steps.clone(), self._returns.clone())
        self._done += (self._returns.clone(),)

    def step(self, step: int) -> None:
        world, alive = self._world, self.alive
        seen = torch.stack(torch.broadcast_tensors(*world.observe(self._state, TENSORS)), -1)  # (P, E, F)
        outputs, self._memory = self._controllers(seen, self._memory)
        action = outputs.unbind(-1)
        after = world.advance(self._state, action, TENSORS)
        reward = world.reward(self._state, action, after, TENSORS)
        self._returns = torch.where(alive, self._returns + reward, self._returns)
        self._steps = self._steps + alive
        # A controller that can no longer change anything gives anything: numbers stay as they were.
        self._state = tuple(torch.where(alive, new, old) for new, old in zip(after, self._state, strict=True))
        self.alive = alive & world.alive(self._state, TENSORS)
        if world.window:
            slot = self._recent[step % world.window]
            slot.copy_(torch.where(self.alive, world.signal(self._state, TENSORS), slot))

    def leave_out(self) -> None:
        """Go on with the rows and columns in which something is alive, where they hold half of the pairs."""
        rows, columns = self.alive.any(1), self.alive.any(0)
        if int(rows.sum()) * int(columns.sum()) * 2 > self.alive.numel():
            return
        self._note()
        kept, kept_columns = rows.nonzero()[:, 0], columns.nonzero()[:, 0]
        if len(kept) < len(rows):
            self._controllers = self._controllers.some(kept)

        def cut(tensor: Tensor) -> Tensor:
            return tensor.index_select(-2, kept).index_select(-1, kept_columns)

        self._state = tuple(map(cut, self._state))
        self.alive, self._steps, self._returns = cut(self.alive), cut(self._steps), cut(self._returns)
        self._recent = cut(self._recent)
        self._memory = _selected(self._memory, kept, kept_columns)
        self._rows, self._columns = self._rows[kept], self._columns[kept_columns]

    def episodes(self) -> Episodes:
        self._note()
        alive, steps, returns, recent = (tensor.cpu() for tensor in self._done)
        return Episodes(steps, ~alive, returns, recent)

    def _note(self) -> None:
        """Keep how the rows and columns that are left stand."""
        place = self._rows[:, None], self._columns
        now = (self.alive, self._steps, self._returns, self._recent.sum(0))
        for done, value in zip(self._done, now, strict=True):
            done[place] = value


def _selected(memory: Any, rows: Tensor, columns: Tensor) -> Any:
    """What controllers remember, of some rows and columns: tensors (P, E, ...), in tuples and dicts too."""
    if isinstance(memory, Tensor):
        return memory.index_select(0, rows).index_select(1, columns)
    if isinstance(memory, tuple | list):
        return type(memory)(_selected(item, rows, columns) for item in memory)
    if isinstance(memory, dict):
        return {name: _selected(item, rows, columns) for name, item in memory.items()}
    return memory

"""What a world has to do, which the episodes of a `SimulatedTask` are run in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from genophen.control.episodic import SimulatedTask
from genophen.control.world import ARRAYS, NUMBERS, Arithmetic
from genophen.testing.findings import Findings, require

_STARTS = 3


def examine_world(findings: Findings, task: SimulatedTask) -> None:
    """Take one step from some starts, in plain numbers and in arrays."""
    with findings.needed("starts() gives one row of numbers a start"):
        starts = task.starts(_STARTS, torch.Generator().manual_seed(0))
        require(
            isinstance(starts, torch.Tensor) and starts.dim() == 2,
            "give a tensor (count, numbers of a state)",
        )
        require(
            starts.is_floating_point(), f"give float64, not {starts.dtype}: states are in double precision"
        )
    with findings.needed("a step in plain numbers sees, and leads to, as many numbers as the world says"):
        for row in starts.tolist():
            _step(task, tuple(row), (0.5,) * task.num_actions, NUMBERS)
    with findings.needed("a step in arrays of many worlds does the same as in plain numbers"):
        state = tuple(np.asarray(column, np.float64)[None] for column in starts.T)  # (1, starts) each
        action = (np.full((1, len(starts)), 0.5),) * task.num_actions
        try:
            after = _step(task, state, action, ARRAYS)
        except ValueError as error:
            if "truth value" not in str(error):
                raise
            raise AssertionError(
                "`if`, `and`, `or`, `not`, min() or max() on a value, which is an array of many: "
                "ops.where(condition, a, b) takes the place of `if`, & that of `and`, ops.clip that of max"
            ) from error
        for place, row in enumerate(starts.tolist()):
            alone = _step(task, tuple(row), (0.5,) * task.num_actions, NUMBERS)
            found = [float(np.broadcast_to(value, (1, len(starts)))[0, place]) for value in after]
            require(
                np.allclose(found, alone, rtol=1e-9, atol=1e-12, equal_nan=True),
                f"from {row} it leads to {found} in arrays, to {list(alone)} in numbers",
            )


def _step(task: SimulatedTask, state: Any, action: Any, ops: Arithmetic) -> tuple[Any, ...]:
    """The state after one step."""
    _require_count(task.observe(state, ops), task.num_observations, "observe()", "num_observations")
    with np.errstate(all="ignore"):
        after = task.advance(state, action, ops)
        _require_count(after, len(state), "advance()", "the numbers of a state in starts()")
        alive = task.alive(after, ops)
    kinds = (bool, np.bool_) if ops is NUMBERS else (np.ndarray, np.bool_, bool)
    require(
        isinstance(alive, kinds), f"alive() returned {type(alive).__name__}: give a comparison, such as x < 1"
    )
    task.reward(state, action, after, ops)
    return after


def _require_count(values: Any, count: int, method: str, what: str) -> None:
    found = f"{len(values)} values" if isinstance(values, tuple | list) else type(values).__name__
    require(
        isinstance(values, tuple | list) and len(values) == count,
        f"{method} returned {found}: give a tuple of {count}, as many as {what}",
    )

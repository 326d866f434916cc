"""Episodes one by one and all together: the same counts, the same numbers, nothing after the end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genophen.control.batch import Controllers, run_together
from genophen.control.episodes import Episodes, run_in_numbers
from genophen.control.world import Arithmetic, Values, World


class Walk(World):
    """A point that is moved; it may go from -1 to 1, and pays for where it stands."""

    num_observations = 1
    num_actions = 1
    window = 3

    def observe(self, state: Values, ops: Arithmetic) -> Values:
        return state

    def advance(self, state: Values, action: Values, ops: Arithmetic) -> Values:
        return (state[0] + action[0],)

    def alive(self, state: Values, ops: Arithmetic) -> Any:
        return abs(state[0]) < 1

    def reward(self, state: Values, action: Values, after: Values, ops: Arithmetic) -> Any:
        return 2 * after[0]

    def signal(self, state: Values, ops: Arithmetic) -> Any:
        return state[0] * state[0]


class Strides(Controllers):
    """Each moves by a stride of its own times its count of steps so far."""

    def __init__(self, strides: Tensor) -> None:
        self.strides, self.count = strides, len(strides)

    def __call__(self, seen: Any, memory: Any, ops: Arithmetic) -> tuple[Any, Any]:
        steps = np.ones_like(seen) if memory is None else memory["steps"] + 1
        return self.strides.numpy()[:, None, None] * steps, {"steps": steps}

    def some(self, rows: np.ndarray) -> Controllers:
        return type(self)(self.strides[rows])

    def in_numbers(self) -> list[Any]:
        def walker(stride: float) -> Any:
            def act(seen: tuple[float, ...], memory: int | None) -> tuple[list[float], int]:
                steps = (memory or 0) + 1
                return [stride * steps], steps

            return act

        return [walker(stride) for stride in self.strides.tolist()]


STARTS = torch.tensor([[0.0], [0.5], [-0.75]], dtype=torch.float64)


def strides(*values: float) -> Strides:
    return Strides(torch.tensor(values, dtype=torch.float64))


def test_counts_by_hand() -> None:
    walked = run_together(Walk(), strides(0.25), STARTS[:2], horizon=10)
    # From 0: 0.25, 0.75, 1.5; from 0.5: 0.75, 1.25.
    assert walked.steps.tolist() == [[3, 2]]
    assert walked.survived.tolist() == [[2, 1]]
    assert walked.failed.tolist() == [[True, True]]
    assert walked.returns.tolist() == [[2 * (0.25 + 0.75 + 1.5), 2 * (0.75 + 1.25)]]
    assert walked.recent.tolist() == [[0.25**2 + 0.75**2, 0.75**2]]


def test_the_horizon_ends_an_episode_that_has_not_failed() -> None:
    walked = run_together(Walk(), strides(0.0, 0.5), STARTS[1:2], horizon=5)
    assert walked.steps.tolist() == [[5], [1]]
    assert walked.failed.tolist() == [[False], [True]]
    assert walked.recent.tolist() == [[3 * 0.25], [0.0]]  # of the last three steps alone


@pytest.mark.parametrize("horizon", [1, 4, 40])
def test_together_one_by_one_and_in_numbers_agree_to_the_bit(horizon: int) -> None:
    every = strides(0.25, 0.0, -0.001, 0.0625, 2.0, -0.0004)
    together = run_together(Walk(), every, STARTS, horizon)
    assert_equal(run_in_numbers(Walk(), every.in_numbers(), STARTS, horizon), together)
    for p in range(every.count):
        for e in range(len(STARTS)):
            alone = run_together(Walk(), every.some(np.array([p])), STARTS[e : e + 1], horizon)
            assert_equal(alone, some(together, p, e))


def test_what_is_not_finite_ends_the_episode_and_leaves_the_others() -> None:
    walked = run_together(Walk(), strides(math.nan, math.inf, 0.0), STARTS[:1], horizon=4)
    assert walked.steps.tolist() == [[1], [1], [4]]
    assert walked.survived.tolist() == [[0], [0], [4]]
    assert walked.recent.tolist() == [[0.0], [0.0], [0.0]]


def test_the_end_of_all_episodes_ends_the_work() -> None:
    class Counted(Strides):
        calls = 0

        def __call__(self, seen: Any, memory: Any, ops: Arithmetic) -> tuple[Any, Any]:
            Counted.calls += 1
            return super().__call__(seen, memory, ops)

    run_together(Walk(), Counted(torch.tensor([0.25], dtype=torch.float64)), STARTS[:1], horizon=1000)
    assert Counted.calls == 3


def test_those_that_ended_are_left_out() -> None:
    sizes = []

    class Seen(Strides):
        def __call__(self, seen: Any, memory: Any, ops: Arithmetic) -> tuple[Any, Any]:
            sizes.append(tuple(seen.shape[:2]))
            return super().__call__(seen, memory, ops)

    every = Seen(torch.tensor([2.0, 0.0, 2.0, 2.0], dtype=torch.float64))
    run_together(Walk(), every, STARTS, horizon=3)
    assert sizes == [(4, 3), (1, 3), (1, 3)]


def some(episodes: Episodes, p: int, e: int) -> Episodes:
    return Episodes(*(value[p : p + 1, e : e + 1] for value in vars(episodes).values()))


def assert_equal(found: Episodes, expected: Episodes) -> None:
    for name, value in vars(expected).items():
        assert getattr(found, name).tolist() == value.tolist(), name

"""cart-pole: Gymnasium's physics, step by step, in numbers and in arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from genophen_plugins.tasks.cart_pole import CartPole

import genophen
from genophen.control.world import ARRAYS, NUMBERS
from genophen.testing import check_task


def task(**options: object) -> CartPole:
    return CartPole(CartPole.Options(**options))


def test_it_keeps_the_contract() -> None:
    check_task(CartPole)


@pytest.mark.parametrize("ops", ["numbers", "arrays"])
def test_a_step_is_gymnasiums(ops: str) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("CartPole-v1")
    env.reset(seed=3)
    for seed in range(20):
        env.reset(seed=seed)
        draws = np.random.default_rng(seed)
        state = tuple(float(value) for value in env.unwrapped.state)
        for _ in range(500):
            action = int(draws.integers(2))
            _, _, ended, _, _ = env.step(action)
            pushed = 2.0 * action - 1.0
            if ops == "arrays":
                own = tuple(np.full((1, 1), value) for value in state)
                after = task().advance(own, (np.full((1, 1), pushed),), ARRAYS)
                state = tuple(value.item() for value in after)
            else:
                state = task().advance(state, (pushed,), NUMBERS)
            assert state == pytest.approx(tuple(env.unwrapped.state), rel=1e-12, abs=1e-15)
            assert bool(task().alive(state, NUMBERS)) != ended
            if ended:
                break
        assert ended


def test_starts_are_near_rest_and_each_task_has_its_own() -> None:
    drawn = task().starts(1000, torch.Generator().manual_seed(0))
    assert drawn.shape == (1000, 4)
    assert 0.049 < drawn.abs().max() <= 0.05
    assert not torch.equal(task().measured_starts("test"), task().measured_starts("validation"))


def test_what_is_seen_and_done() -> None:
    assert task().shapes() == ((4,), 1)
    assert task(velocities=False).shapes() == ((2,), 1)
    still = (0.0, 0.0, 0.0, 0.0)
    _, full, _, _ = task().advance(still, (0.1,), NUMBERS)
    _, graded, _, _ = task(push="graded").advance(still, (0.1,), NUMBERS)
    assert graded == pytest.approx(full * np.tanh(0.1))


def test_a_linear_controller_is_found(tmp_path: Path) -> None:
    config = {
        "task": {"name": "cart-pole", "cart-pole": {"episodes": 4, "evaluation_episodes": 20}},
        "architecture": {"name": "mlp", "mlp": {"hidden": []}},
        "genotype": {"name": "direct"},
        "optimizer": {
            "name": "cma-es",
            "cma-es": {
                "population_size": 8,
                "generations_per_round": 10,
                "stdev_init": 0.5,
                "gene_scale": "one",
                "center_init": "zeros",
            },
        },
        "training": {"rounds": 2, "seed": 1},
    }
    result = genophen.run(config, out=tmp_path / "run")
    assert result["test_score"] == 500
    assert result["episodes"] == 2 * 10 * 8 * 4

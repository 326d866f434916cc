"""Double pole balancing: its scores, its test of success, and a run from nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from genophen_plugins.architectures.elman import ElmanNetwork
from genophen_plugins.tasks.double_pole import DoublePole, gruaus_starts

import genophen
from genophen.control.world import NUMBERS

#: Of an Elman network with three units that was evolved; each row a unit's weights. Digits count: with
#: four of them after the point it falls after 662 steps.
SOLUTION = {
    "input.weight": [
        [3.720283, 0.055453, -10.321599],
        [-0.145973, -10.25243, 6.951087],
        [-1.640991, -1.582221, 4.666521],
    ],
    "recurrent.weight": [
        [-1.641003, -0.931533, -0.750573],
        [0.058302, -1.023695, -0.08063],
        [-3.399174, 7.791878, 0.359631],
    ],
    "output.weight": [[-1.06263, 6.21235, -0.208166]],
}


def networks(*solutions: dict[str, Any]) -> genophen.Networks:
    stacks = {name: torch.stack([torch.tensor(each[name]) for each in solutions]) for name in solutions[0]}
    return genophen.Networks(ElmanNetwork(3, 3, 1, bias=False), stacks)


def idle() -> dict[str, Any]:
    return {name: torch.zeros_like(torch.tensor(rows)).tolist() for name, rows in SOLUTION.items()}


def task(**options: Any) -> DoublePole:
    return DoublePole(DoublePole.Options(**options))


def test_gruaus_starts() -> None:
    starts = gruaus_starts()
    assert starts.shape == (625, 6)
    assert len(starts.unique(dim=0)) == 625
    limits = [0.9 * 2.16, 0.9 * 1.35, 0.9 * math.radians(3.6), 0.9 * math.radians(8.6), 0, 0]
    assert starts.max(0).values.tolist() == pytest.approx(limits)
    assert starts.min(0).values.tolist() == pytest.approx([-limit for limit in limits])
    assert (starts[312] == 0).all()


def test_what_is_seen() -> None:
    state = (2.4, 1.5, math.radians(36), 2.0, -math.radians(18), 1.0)
    assert task().observe(state, NUMBERS) == pytest.approx((1, 1, -0.5))
    assert task(velocities=True).observe(state, NUMBERS) == pytest.approx((1, 1, 1, 1, -0.5, 0.5))
    assert (task().num_observations, task(velocities=True).num_observations) == (3, 6)


@pytest.mark.parametrize(
    ("state", "alive"),
    [
        ((2.39, 9, 0.62, 9, -0.62, 9), True),
        ((-2.41, 0, 0, 0, 0, 0), False),
        ((0, 0, 0.63, 0, 0, 0), False),
        ((0, 0, 0, 0, -0.63, 0), False),
        ((math.nan, 0, 0, 0, 0, 0), False),
    ],
)
def test_when_an_episode_ends(state: tuple[float, ...], alive: bool) -> None:
    assert task().alive(state, NUMBERS) is alive


def test_gruaus_fitness_by_hand() -> None:
    episodes = genophen.Episodes(
        steps=torch.tensor([[51], [201], [1000]]),
        failed=torch.tensor([[True], [True], [False]]),
        returns=torch.zeros(3, 1),
        recent=torch.tensor([[2.0], [5.0], [7.5]], dtype=torch.float64),
    )
    assert task().judge(episodes)[:, 0].tolist() == pytest.approx(
        [0.1 * 0.05, 0.1 * 0.2 + 0.9 * 0.15, 0.1 + 0.9 * 0.1]
    )
    assert task(fitness="steps").judge(episodes)[:, 0].tolist() == pytest.approx([0.05, 0.2, 1.0])


def test_a_solution_passes_the_test_and_an_idle_network_does_not() -> None:
    both = networks(idle(), SOLUTION)
    every = task()
    fitness = every.fitness(both, every.draw())
    assert float(fitness[1]) > 0.1 > float(fitness[0])
    assert both.samples.episodes == 2

    alone = [networks(idle()), networks(SOLUTION)]
    assert every.solved(lambda index: alone[index], fitness) == 1
    assert (alone[1].samples.episodes, alone[1].samples.test_episodes) == (0, 626)
    assert every.solved(lambda index: alone[index], torch.tensor([1.0, 0.0])) is None
    assert alone[0].samples.test_episodes == 0  # its first trial has said so
    assert every.generalization(alone[1]) >= 200


def test_a_candidate_whose_fitness_is_no_number_is_not_the_best() -> None:
    alone = [networks(idle()), networks(idle())]
    asked = []
    task().solved(lambda index: asked.append(index) or alone[index], torch.tensor([math.nan, 0.0]))
    assert asked == [1]


def test_few_pairs_and_many_give_the_same_counts() -> None:
    many = networks(*[SOLUTION] * 40)  # in arrays
    one = networks(SOLUTION)  # in numbers
    start = task().draw()
    together, alone = task().run(many, start, 150), task().run(one, start, 150)
    assert together.steps.tolist() == [[150]] * 40
    assert torch.allclose(together.recent, alone.recent.expand(40, 1), rtol=1e-9)
    assert many.samples.forward_samples == 40 * 150


def test_a_run_counts_episodes_and_steps(tmp_path: Path) -> None:
    result = genophen.run(
        ROOT / "examples" / "double_pole.toml",
        overrides=["training.rounds=2", "optimizer.cma-es.generations_per_round=2"],
        out=tmp_path / "run",
    )
    assert result["measure"] == "starts balanced"
    assert result["episodes"] == 2 * 2 * 13
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("episodes") for row in rows] == [None, 26, 52]
    assert rows[-1]["sample_evaluations"] == result["sample_evaluations"] > 52


@pytest.mark.slow
def test_the_example_is_solved(tmp_path: Path) -> None:
    result = genophen.run(ROOT / "examples" / "double_pole.toml", out=tmp_path / "run")
    assert result["stop_reason"] == "solved"
    assert result["test_starts_balanced"] >= 200
    assert result["episodes"] < 50_000

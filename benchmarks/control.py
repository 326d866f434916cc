"""Steps of CartPole-v1: genophen's cart-pole beside a Python loop over Gymnasium's, and evotorch's."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.table import Table
from benchmarks.timing import against, clock
from genophen.control.compiled import WORTH
from genophen.control.controllers import run_networks
from genophen.control.episodes import run_in_numbers
from genophen.control.world import NUMBERS
from genophen.plugins.loading import load_plugins
from genophen.population.networks import Networks

#: Candidates by episodes.
SIZES = ((13, 1), (256, 1), (256, 32))
HORIZON = 200
#: Episodes of a turn of those that take one at a time.
FEW = 13
#: Episodes of a turn of those that take all at once, by a process that makes an environment for each.
MANY = 256
#: A linear controller that balances; candidates are drawn around it.
BALANCES = (0.1, 0.4, 1.0, 0.9)

#: Runs episodes and says how many steps they took.
Contestant = Callable[[], int]


def tables(pairs: int) -> list[Table]:
    return [_table(count, episodes, pairs) for count, episodes in SIZES]


def _table(count: int, episodes: int, pairs: int) -> Table:
    draws = torch.Generator().manual_seed(0)
    weights = torch.tensor(BALANCES) * (1 + 0.2 * torch.randn(count, 4, generator=draws))
    contestants: dict[str, Contestant] = {
        "genophen": _own(weights, episodes, draws),
        "Python loop": _loop(weights),
        "evotorch GymNE": _evotorch("GymNE", weights[:FEW]),
        "evotorch VecGymNE": _evotorch("VecGymNE", weights.repeat_interleave(episodes, 0)[:MANY]),
    }
    if count * episodes <= FEW:
        contestants["genophen, not compiled"] = _in_python(weights, episodes, draws)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    order, shuffle = list(contestants), random.Random(0)
    for turn in range(pairs + 1):
        shuffle.shuffle(order)
        for name in order:
            started = clock()
            steps = contestants[name]()
            if turn:  # the first warms up
                seconds[name].append((clock() - started) / steps)
    rows = [against(name, values, seconds["genophen"]) for name, values in seconds.items()]
    least = {"Python loop": 30.0 if (count, episodes) == SIZES[-1] else 1.0}
    rates = ", ".join(f"{row.name} {1 / row.seconds:,.0f}" for row in rows)
    title = (
        f"cart-pole, a step: {count} candidates x {episodes} episodes of up to {HORIZON}, linear controllers"
    )
    return Table(title, rows, at_least=least, notes=[f"Steps a second: {rates}."])


def _own(weights: torch.Tensor, episodes: int, draws: torch.Generator) -> Contestant:
    task, networks, starts = _task(weights, episodes, draws)

    def run() -> int:
        return int(run_networks(task, networks, starts, HORIZON).steps.sum())

    taken = 0
    while taken <= WORTH:  # from then on few episodes are compiled
        taken += run()
    return run


def _in_python(weights: torch.Tensor, episodes: int, draws: torch.Generator) -> Contestant:
    """The same where there is no compiler."""
    task, networks, starts = _task(weights, episodes, draws)
    stacks = {name: stack.double() for name, stack in networks.weights().items()}
    act = networks.network.in_numbers  # type: ignore[operator]

    def run() -> int:
        rows = [{name: stack[p].tolist() for name, stack in stacks.items()} for p in range(networks.count)]
        controllers = [act(each, NUMBERS) for each in rows]
        return int(run_in_numbers(task, controllers, starts, HORIZON).steps.sum())

    return run


def _task(weights: torch.Tensor, episodes: int, draws: torch.Generator) -> tuple[Any, Networks, torch.Tensor]:
    plugins = load_plugins()
    task_class, mlp = plugins.get("task", "cart-pole").cls, plugins.get("architecture", "mlp").cls
    task = task_class(task_class.Options(horizon=HORIZON))
    architecture = mlp(mlp.Options(hidden=[]))
    architecture.fill_in(*task.shapes())
    # Its observations are scaled, which the weights make up for.
    scales = torch.tensor([2.4, 1.5, np.deg2rad(12), 2.0], dtype=torch.float32)
    stacks = {
        "layers.0.weight": (weights * scales)[:, None],
        "layers.0.bias": torch.zeros(len(weights), 1),
    }
    networks = Networks(architecture.build(), stacks)
    return task, networks, task.starts(episodes, draws)


def _loop(weights: torch.Tensor) -> Contestant:
    import gymnasium

    env, rows = gymnasium.make("CartPole-v1"), weights[:FEW].numpy()

    def run() -> int:
        steps = 0
        for seed, row in enumerate(rows):
            seen, _ = env.reset(seed=seed)
            for _ in range(HORIZON):
                seen, _, ended, _, _ = env.step(int(row @ seen > 0))
                steps += 1
                if ended:
                    break
        return steps

    return run


def _evotorch(kind: str, weights: torch.Tensor) -> Contestant:
    from evotorch import neuroevolution

    network = nn.Linear(4, 2, bias=False)
    if kind == "GymNE":
        problem = neuroevolution.GymNE("CartPole-v1", network, episode_length=HORIZON)
    else:
        limit = {"max_episode_steps": HORIZON}
        problem = neuroevolution.VecGymNE("gym::CartPole-v1", network, env_config=limit)
    batch = problem.generate_batch(len(weights))
    batch.set_values(torch.cat([-weights, weights], 1))

    def run() -> int:
        before = int(problem.status.get("total_interaction_count", 0))
        batch.forget_evals()
        problem.evaluate(batch)
        return int(problem.status["total_interaction_count"]) - before

    return run

"""evotorch's own GymNE and CMA-ES, as examples/comparisons/classic_control.toml has the networks and marks.

    python results/classic_control_evotorch.py CartPole-v1 0 1 2 3 4

A seed's search ends with the first generation whose best candidate has the mark as its mean return, in
training and in 100 trials, or after as many episodes as genophen's runs may take. Trials and test are those
of genophen's task: the same seeds. Each is added to results/classic_control_evotorch.json.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import gymnasium
import numpy as np
import torch
from evotorch.algorithms import CMAES
from evotorch.neuroevolution import GymNE
from torch import nn

#: Mark, and episodes of a candidate, as the sweep has them.
TASKS = {"CartPole-v1": (500.0, 1), "Acrobot-v1": (-90.0, 2)}
HIDDEN, POPULATION, STDEV = 16, 16, 0.5
#: Episodes that genophen's runs may take: rounds, generations, candidates.
ROUNDS = {"CartPole-v1": 30 * 20, "Acrobot-v1": 30 * 10}
#: Seeds from which genophen measures (genophen_plugins.tasks.gymnasium).
FIRST, TRIALS, TEST = 2**30, 3, 2


def seeds(of: int) -> list[int]:
    draws = torch.Generator().manual_seed(of)
    return (FIRST + torch.randint(FIRST, (100,), generator=draws)).tolist()


def mean_return(env: gymnasium.Env, genes: np.ndarray, starts: list[int]) -> float:
    """Of the perceptron with these genes, as evotorch lays them out."""
    inputs, outputs = env.observation_space.shape[0], int(env.action_space.n)
    shapes = [(HIDDEN, inputs), (HIDDEN,), (outputs, HIDDEN), (outputs,)]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    w1, b1, w2, b2 = (part.reshape(s) for part, s in zip(np.split(genes, ends[:-1]), shapes, strict=True))
    total = 0.0
    for start in starts:
        seen, _ = env.reset(seed=start)
        ended = cut = False
        while not ended and not cut:
            action = int((w2 @ np.tanh(w1 @ seen + b1) + b2).argmax())
            seen, reward, ended, cut, _ = env.step(action)
            total += float(reward)
    return total / len(starts)


def run(name: str, seed: int) -> dict[str, object]:
    mark, episodes = TASKS[name]
    env = gymnasium.make(name)
    inputs, outputs = env.observation_space.shape[0], int(env.action_space.n)
    network = nn.Sequential(nn.Linear(inputs, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, outputs))
    started = time.monotonic()
    torch.manual_seed(seed)  # what evotorch draws from
    problem = GymNE(name, network, num_episodes=episodes)
    center = torch.zeros(problem.solution_length)
    search = CMAES(problem, stdev_init=STDEV, popsize=POPULATION, center_init=center)
    evaluations, tests, solved, best = 0, 0, False, center
    for _ in range(ROUNDS[name]):
        search.step()
        evaluations += POPULATION * episodes
        fitness = search.population.evals[:, 0]
        best = search.population.values[int(fitness.argmax())]
        if float(fitness.max()) >= mark:
            tests += 100
            if mean_return(env, best.double().numpy(), seeds(TRIALS)) >= mark:
                solved = True
                break
    return {
        "task": name,
        "seed": seed,
        "genes": int(problem.solution_length),
        "settings": {"popsize": POPULATION, "stdev_init": STDEV, "num_episodes": episodes},
        "solved": solved,
        "evaluations": evaluations,
        "test_episodes": tests,
        "test_return": mean_return(env, best.double().numpy(), seeds(TEST)),
        "seconds": round(time.monotonic() - started, 1),
        "versions": {package: version(package) for package in ("evotorch", "gymnasium", "torch")},
    }


def add(found: dict[str, object], file: Path) -> None:
    """A trial more in the line of its task, as row files have them."""
    lines = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    line = next((line for line in lines if line["model"] == found["task"]), None)
    if line is None:
        lines.append(line := {"model": found["task"], "trials": []})
    line["trials"].append(found)
    file.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for word in sys.argv[2:]:
        trial = run(sys.argv[1], int(word))
        print(json.dumps(trial), flush=True)
        add(trial, Path(__file__).with_suffix(".json"))

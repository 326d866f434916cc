"""Graphs that grow on two small problems: `python -m benchmarks.neat_patterns [--seeds N] [--out FILE]`.

XOR, by the search behind the optimizer `neat` and by neat-python's own loop and interpreter, with the
settings of neat-python's own example: 150 graphs, solved where 4 less the squared errors is above 3.9.
neat-python's sigmoid is five times as steep as the usual one, which the search has: its weights have
further to go. Then a picture of 28 x 28 pixels, a ring with a bar across it, which a graph is to give pixel
by pixel from row, column and distance from the middle.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import neat
import torch
from genophen_plugins.genotypes.graph_evaluation import evaluate
from genophen_plugins.genotypes.node_graph import Individual, layered
from genophen_plugins.optimizers.neat.search import NEATSearch
from genophen_plugins.optimizers.neat.settings import NEATOptions
from torch import Tensor

#: The four cases (inputs, points), and what is to be answered.
CASES, ANSWERS = (
    torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]),
    torch.tensor([0.0, 1.0, 1.0, 0.0]),
)
SOLVED, POPULATION, GENERATIONS = 3.9, 150, 300
#: As neat-python's example has it.
XOR: dict[str, Any] = {
    "population_size": POPULATION,
    "activations": ("sigmoid",),
    "node_add": 0.2,
    "node_delete": 0.2,
    "connection_add": 0.5,
    "connection_delete": 0.5,
    "weight_mutate": 0.8,
    "weight_power": 0.5,
    "weight_replace": 0.1,
    "stdev_init": 1.0,
    "elitism": 2,
    "survival_threshold": 0.2,
}
#: Graphs in a generation, and generations, for the picture.
PICTURE: dict[str, Any] = {
    "population_size": POPULATION,
    "node_add": 0.2,
    "connection_add": 0.3,
    "activation_mutate": 0.1,
}
PICTURE_GENERATIONS = 200
SIZE = 28


def answers(graphs: Sequence[Individual], points: Tensor) -> Tensor:
    """What graphs of one output give at points (inputs, points): (P, points)."""
    return evaluate(graphs, points, points.new_zeros(len(points), 1))[:, 0, :, 0]


def xor_by_genophen(seed: int) -> int | None:
    """Evaluations until a graph solves it, None where none does in 300 generations."""
    start = _start(2, "sigmoid", seed)
    search = NEATSearch(start, NEATOptions(**XOR), seed)
    for generation in range(GENERATIONS):
        fitness = 4 - (answers(search.ask(), CASES) - ANSWERS).square().sum(1)
        if fitness.max() > SOLVED:
            return (generation + 1) * POPULATION
        search.tell(fitness.tolist())
    return None


def xor_by_neat_python(seed: int) -> int | None:
    """The same by neat-python alone: its population, its loop, its interpreter, its sigmoid."""
    evaluations = 0
    cases = list(zip(CASES.T.tolist(), ANSWERS.tolist(), strict=True))

    def judge(genomes: list[Any], config: Any) -> None:
        nonlocal evaluations
        for _, genome in genomes:
            network = neat.nn.FeedForwardNetwork.create(genome, config)
            genome.fitness = 4 - sum((network.activate(x)[0] - y) ** 2 for x, y in cases)
        evaluations += len(genomes)

    best = neat.Population(_config(), seed=seed).run(judge, GENERATIONS)
    return evaluations if best.fitness > SOLVED else None


def picture() -> Tensor:
    """The ring and its bar, (784,) in row order, of 0 and 1."""
    y, x, r = _places()
    return (((r > 0.45) & (r < 0.75)) | ((y.abs() < 0.12) & (x.abs() < 0.6))).float()


def paint(seed: int, generations: int = PICTURE_GENERATIONS) -> tuple[float, float, Individual]:
    """Mean squared errors of the best graph at first and at last, and that graph."""
    points, target = _places(), picture()
    search = NEATSearch(_start(3, "sigmoid", seed), NEATOptions(**PICTURE), seed)
    errors = []
    for _ in range(generations):
        found = (answers(search.ask(), points) - target).square().mean(1)
        errors.append(float(found.min()))
        search.tell((-found.nan_to_num(1e6).clamp(max=1e6)).tolist())
    return errors[0], errors[-1], search.best


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neat_patterns", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="of XOR; a quarter of them paint the picture")
    parser.add_argument("--out", type=Path, help="also write what is found as JSON")
    given = parser.parse_args()
    seeds = range(given.seeds)
    record: dict[str, Any] = {"neat-python": neat.__version__}
    solvers: dict[str, Callable[[int], int | None]] = {
        "genophen": xor_by_genophen,
        "neat-python": xor_by_neat_python,
    }
    for name, solve in solvers.items():
        record[f"xor {name}"] = taken = [solve(seed) for seed in seeds]
        solved = sorted(count for count in taken if count is not None)
        print(
            f"XOR by {name}: {len(solved)} of {len(taken)} seeds solve it; evaluations: "
            f"median {statistics.median(solved or [0]):,.0f}, from {solved[0]:,} to {solved[-1]:,}",
            flush=True,
        )
    target = picture()
    constant = float(target.var(correction=0))
    print(f"a picture of {SIZE} x {SIZE}: the best constant has a squared error of {constant:.4f}")
    record["picture"] = painted = []
    for seed in seeds[: max(1, given.seeds // 4)]:
        first, last, best = paint(seed)
        counts = {"nodes": len(best.graph.nodes), "connections": len(best.graph.connections)}
        painted.append({"seed": seed, "first": first, "last": last, **counts})
        print(
            f"seed {seed}: {first:.4f} in the first generation, {last:.4f} after {PICTURE_GENERATIONS}, "
            f"by {counts['nodes']} nodes and {counts['connections']} connections",
            flush=True,
        )
    if given.out is not None:
        given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _start(inputs: int, activation: str, seed: int) -> Individual:
    """All inputs to one output, weights drawn from a normal distribution."""
    graph = layered(inputs, [], 1)
    drawn = torch.randn(inputs + 1, generator=torch.Generator().manual_seed(seed))
    graph = type(graph)(graph.num_inputs, ((activation, "sum"),), graph.connections, graph.outputs)
    return Individual(graph, drawn[:-1], drawn[-1:])


def _places() -> Tensor:
    """Row, column, both from -1 to 1, and distance from the middle of each pixel, (3, 784)."""
    axis = (torch.arange(SIZE) - (SIZE - 1) / 2) / (SIZE / 2)
    y, x = (each.flatten() for each in torch.meshgrid(axis, axis, indexing="ij"))
    return torch.stack([y, x, (y.square() + x.square()).sqrt()])


def _config() -> Any:
    """neat-python's config with the settings of XOR, which it reads from a file alone."""
    number = {"init_mean": 0, "init_stdev": 1, "init_type": "gaussian", "max_value": 30, "min_value": -30}
    number |= {"mutate_power": XOR["weight_power"], "replace_rate": XOR["weight_replace"]}
    response = number | {
        "init_mean": 1,
        "init_stdev": 0,
        "mutate_power": 0,
        "mutate_rate": 0,
        "replace_rate": 0,
    }
    genome: dict[str, Any] = {
        "num_inputs": 2,
        "num_outputs": 1,
        "num_hidden": 0,
        "feed_forward": True,
        "initial_connection": "full",
        "single_structural_mutation": False,
        "structural_mutation_surer": "default",
        "compatibility_disjoint_coefficient": 1.0,
        "compatibility_weight_coefficient": 0.5,
        "conn_add_prob": XOR["connection_add"],
        "conn_delete_prob": XOR["connection_delete"],
        "node_add_prob": XOR["node_add"],
        "node_delete_prob": XOR["node_delete"],
        "activation_default": "sigmoid",
        "activation_options": "sigmoid",
        "activation_mutate_rate": 0,
        "aggregation_default": "sum",
        "aggregation_options": "sum",
        "aggregation_mutate_rate": 0,
        "enabled_default": True,
        "enabled_mutate_rate": 0.01,
        "enabled_rate_to_true_add": 0,
        "enabled_rate_to_false_add": 0,
    }
    kinds = {"weight": number | {"mutate_rate": 0.8}, "bias": number | {"mutate_rate": 0.7}}
    kinds |= {"response": response, "time_constant": response}
    for name, values in kinds.items():
        genome |= {f"{name}_{key}": value for key, value in values.items()}
    sections: dict[str, dict[str, Any]] = {
        "NEAT": {
            "fitness_criterion": "max",
            "fitness_threshold": SOLVED,
            "no_fitness_termination": False,
            "pop_size": POPULATION,
            "reset_on_extinction": False,
        },
        "DefaultGenome": genome,
        "DefaultSpeciesSet": {"compatibility_threshold": 3.0},
        "DefaultStagnation": {"species_fitness_func": "max", "max_stagnation": 20, "species_elitism": 2},
        "DefaultReproduction": {
            "elitism": XOR["elitism"],
            "survival_threshold": XOR["survival_threshold"],
            "min_species_size": 2,
        },
    }
    lines = []
    for name, settings in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in settings.items())]
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
        file.write("\n".join(lines))
        file.flush()
        kinds_of = (
            neat.DefaultGenome,
            neat.DefaultReproduction,
            neat.DefaultSpeciesSet,
            neat.DefaultStagnation,
        )
        return neat.Config(*kinds_of, file.name)


if __name__ == "__main__":
    main()

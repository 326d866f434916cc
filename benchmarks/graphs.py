"""Time to write Hyper4_4's kernel by a graph: 150 different ones together, beside neat-python's interpreter.

The graphs are random, of 10 to 30 nodes with the activations that `neat` chooses from; each is asked for all
12,544 weights of the second convolution of `mnist-cnn`. neat-python's `FeedForwardNetwork` is asked for the
first graphs alone, weight by weight, as it is made for; its activations are set to the same functions.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from genophen_plugins.genotypes.graph_evaluation import evaluate
from genophen_plugins.genotypes.node_graph import Individual, NodeGraph
from genophen_plugins.optimizers.neat.genomes import from_individual
from genophen_plugins.optimizers.neat.settings import NEATOptions, genome_parameters
from torch import Tensor

import genophen
from benchmarks.networks import DEVICE, make_architecture
from benchmarks.population import measure
from benchmarks.table import Table
from benchmarks.timing import against

GRAPHS, NODES, LOOPED = 150, 30, 6
#: How many times genophen's time the interpreter is to take at the least.
AIM = 20.0
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sin": math.sin,
    "cos": math.cos,
    "gauss": lambda value: math.exp(-value * value),
    "tanh": math.tanh,
    "identity": lambda value: value,
}


def tables(repetitions: int) -> list[Table]:
    seconds = measure(contestants(GRAPHS), repetitions)
    rows = [against(name, values, seconds["genophen"]) for name, values in seconds.items()]
    title = f"a graph of {GRAPHS}, up to {NODES} nodes, writing 12,544 weights"
    return [Table(title, rows, at_least={"neat-python": AIM})]


def contestants(count: int) -> dict[str, Callable[[], Tensor]]:
    """For each contestant a function that gives graphs' answers (P, weights); neat-python's to the first."""
    architecture = make_architecture("mnist-cnn")
    phenotype = genophen.compile(architecture.build(), architecture.expressed(), "cppn-graph").to(DEVICE)
    rows, columns = phenotype.genotype._coordinates(phenotype.genotype._targets[0])
    rng = random.Random(0)
    graphs = [_random_graph(rng, len(rows)) for _ in range(count)]
    points = (rows[:, :, None] + columns[:, None, :]).flatten(1).T.tolist()

    def together() -> Tensor:
        return evaluate(graphs, rows, columns).flatten(1)

    networks = [_network(graph) for graph in graphs[:LOOPED]]

    def interpreted() -> Tensor:
        return torch.tensor([[network.activate(point)[0] for point in points] for network in networks])

    return {"genophen": together, "neat-python": interpreted}


def _random_graph(rng: random.Random, inputs: int) -> Individual:
    """A graph each of whose nodes leads to the output, and hears of one to five others."""
    nodes = rng.randint(10, NODES)
    kinds = [*((rng.choice(list(_FUNCTIONS)), "sum") for _ in range(nodes - 1)), ("identity", "sum")]
    first, last = inputs, inputs + nodes - 1
    connections = {(node, rng.randint(node + 1, last)) for node in range(first, last)}
    for target in range(first, last + 1):
        sources = rng.sample(range(target), rng.randint(1, min(4, target)))
        connections |= {(source, target) for source in sources}
    ordered = tuple(sorted(connections, key=lambda connection: connection[::-1]))
    graph = NodeGraph(inputs, tuple(kinds), ordered, (last,))
    return Individual(graph, *(_drawn(rng, len(part)) for part in (ordered, kinds)))


def _drawn(rng: random.Random, count: int) -> Tensor:
    return torch.tensor([rng.gauss(0, 0.5) for _ in range(count)], device=DEVICE)


def _network(individual: Individual) -> Any:
    """neat-python's network of a graph."""
    import neat

    options = NEATOptions(activations=tuple(_FUNCTIONS))
    parameters = genome_parameters(options, individual.graph.num_inputs, 1)
    config = type("Config", (), {"genome_config": neat.DefaultGenome.parse_config(parameters)})
    config.genome_config.activation_defs.functions.update(_FUNCTIONS)
    return neat.nn.FeedForwardNetwork.create(from_individual(individual, 1, neat), config)

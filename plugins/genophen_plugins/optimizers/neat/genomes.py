"""Genomes of neat-python as graphs, and as plain data that can be saved; and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from genophen_plugins.genotypes.node_graph import (
    ACTIVATIONS,
    AGGREGATIONS,
    MAX_CONNECTIONS,
    MAX_NODES,
    Individual,
    NodeGraph,
)

#: A node's numbers and kinds, in the order in which they are saved; a connection's.
NODE = ("bias", "response", "activation", "aggregation", "time_constant")
CONNECTION = ("weight", "enabled")
NODE_NUMBERS = ("bias", "response", "time_constant")


def to_individual(genome: Any, config: Any) -> Individual:
    """The graph that a genome describes, less what no output depends on."""
    inputs, outputs = config.input_keys, config.output_keys
    enabled = {key: gene for key, gene in genome.connections.items() if gene.enabled}
    needed = _needed(outputs, list(enabled))
    order = _in_order([key for key in genome.nodes if key in needed], list(enabled))
    number = {key: place for place, key in enumerate([*inputs, *order])}
    used = [key for key in enabled if key[1] in needed and key[0] in number]
    used.sort(key=lambda key: (number[key[1]], number[key[0]]))
    nodes = [genome.nodes[key] for key in order]
    graph = NodeGraph(
        len(inputs),
        tuple((node.activation, node.aggregation) for node in nodes),
        tuple((number[source], number[target]) for source, target in used),
        tuple(number[key] for key in outputs),
    )
    weights = torch.tensor([enabled[key].weight for key in used])
    return Individual(graph, weights, torch.tensor([node.bias for node in nodes]))


def from_individual(individual: Individual, key: int, neat: Any) -> Any:
    """A genome that describes a graph: outputs are its nodes 0, 1, .., the others follow."""
    graph = individual.graph
    hidden = [
        n for n in range(graph.num_inputs, graph.num_inputs + len(graph.nodes)) if n not in graph.outputs
    ]
    keys = {number: -number - 1 for number in range(graph.num_inputs)}
    keys |= {number: place for place, number in enumerate([*graph.outputs, *hidden])}
    biases, weights = individual.biases.tolist(), individual.weights.tolist()
    nodes = [
        [keys[graph.num_inputs + place], biases[place], 1.0, activation, aggregation, 1.0]
        for place, (activation, aggregation) in enumerate(graph.nodes)
    ]
    connections = [
        [keys[source], keys[target], weights[place], True, place + 1]
        for place, (source, target) in enumerate(graph.connections)
    ]
    return from_plain({"key": key, "fitness": None, "nodes": nodes, "connections": connections}, neat)


def to_plain(genome: Any) -> dict[str, Any]:
    """A genome as numbers, strings and lists, in the order in which it has them."""
    return {
        "key": genome.key,
        "fitness": genome.fitness,
        "nodes": [[key, *(getattr(node, name) for name in NODE)] for key, node in genome.nodes.items()],
        "connections": [
            [*key, *(getattr(gene, name) for name in CONNECTION), gene.innovation]
            for key, gene in genome.connections.items()
        ],
    }


def from_plain(data: dict[str, Any], neat: Any) -> Any:
    """The genome that `to_plain` took apart.

    Raises:
        ValueError: for data that describes no graph, with the reason.
    """
    if len(data["nodes"]) > MAX_NODES or len(data["connections"]) > MAX_CONNECTIONS:
        raise ValueError(
            f"a genome has {len(data['nodes']):,} nodes and {len(data['connections']):,} connections; "
            f"up to {MAX_NODES:,} and {MAX_CONNECTIONS:,} are allowed"
        )
    genome = neat.DefaultGenome(data["key"])
    genome.fitness = data["fitness"]
    for key, *values in data["nodes"]:
        node = genome.nodes[key] = neat.genes.DefaultNodeGene(key)
        for name, value in zip(NODE, values, strict=True):
            setattr(node, name, value)
    for source, target, *values, innovation in data["connections"]:
        gene = neat.genes.DefaultConnectionGene((source, target), innovation=innovation)
        genome.connections[source, target] = gene
        for name, value in zip(CONNECTION, values, strict=True):
            setattr(gene, name, value)
    _check(genome)
    return genome


def _check(genome: Any) -> None:
    for node in genome.nodes.values():
        for name, known in ((node.activation, ACTIVATIONS), (node.aggregation, AGGREGATIONS)):
            if not isinstance(name, str) or name not in known:
                raise ValueError(f"{str(name)[:80]!r} is none of {', '.join(known)}")
    numbers = [getattr(node, name) for node in genome.nodes.values() for name in NODE_NUMBERS]
    numbers += [gene.weight for gene in genome.connections.values()]
    if not all(isinstance(number, float | int) and math.isfinite(number) for number in numbers):
        raise ValueError("a genome has weights or biases that are not finite")
    for source, target in genome.connections:
        if target not in genome.nodes or (source >= 0 and source not in genome.nodes):
            raise ValueError(f"a genome has no nodes that a connection from {source} to {target} could join")
    _in_order(list(genome.nodes), list(genome.connections))


def _needed(outputs: Sequence[int], connections: Sequence[tuple[int, int]]) -> set[int]:
    """The outputs, and all that lead to them; inputs, which have negative keys, among them."""
    needed = set(outputs)
    while True:
        more = {source for source, target in connections if target in needed} - needed
        if not more:
            return needed
        needed |= more


def _in_order(nodes: Sequence[int], connections: Sequence[tuple[int, int]]) -> list[int]:
    """The nodes, each after those that it hears of."""
    waiting = {node: {s for s, t in connections if t == node and s in nodes} for node in nodes}
    order: list[int] = []
    while waiting:
        ready = [node for node, sources in waiting.items() if sources <= set(order)]
        if not ready:
            raise ValueError(f"the nodes {sorted(waiting)[:8]} hear of each other: graphs have no cycles")
        order += ready
        for node in ready:
            del waiting[node]
    return order

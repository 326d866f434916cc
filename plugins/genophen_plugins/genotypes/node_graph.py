"""Graphs of nodes: what NEAT grows (Stanley & Miikkulainen 2002), as plain data in topological order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: What a node does with its sum; pointwise. The first four are those of the genotype `cppn`.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sin": torch.sin,
    "cos": torch.cos,
    "gauss": lambda values: torch.exp(-values.square()),
    "tanh": torch.tanh,
    "identity": lambda values: values,
    "abs": torch.abs,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
}
#: How a node puts its weighted inputs together, before its bias is added.
AGGREGATIONS = ("sum", "mean", "product", "max", "min")
#: More than any search has use for: what a file claims is not built before it is looked at.
MAX_NODES = 4096
MAX_CONNECTIONS = 65_536


@dataclass(frozen=True)
class NodeGraph:
    """A feed-forward graph. Its weights, one a connection, and biases, one a node, are kept beside it.

    The inputs have the numbers 0 to I - 1, the nodes those from I on, each after all that it hears of.
    """

    num_inputs: int
    #: Activation and aggregation of each node.
    nodes: tuple[tuple[str, str], ...]
    #: Source and target of each connection.
    connections: tuple[tuple[int, int], ...]
    #: The numbers of the nodes whose values are the graph's answer.
    outputs: tuple[int, ...]

    def plain(self) -> dict[str, Any]:
        """The graph as lists and dicts, for `from_plain`."""
        return {
            "inputs": self.num_inputs,
            "nodes": [list(node) for node in self.nodes],
            "connections": [list(connection) for connection in self.connections],
            "outputs": list(self.outputs),
        }

    @classmethod
    def from_plain(cls, data: Any, num_inputs: int, num_outputs: int) -> NodeGraph:
        """A graph of plain data that may be anything.

        Raises:
            ValueError: for what is no graph of so many inputs and outputs, with the reason.
        """
        if not isinstance(data, dict) or set(data) != {"inputs", "nodes", "connections", "outputs"}:
            raise ValueError("a graph is a table of inputs, nodes, connections and outputs")
        nodes, connections, outputs = (_list(data, key) for key in ("nodes", "connections", "outputs"))
        if data["inputs"] != num_inputs or len(outputs) != num_outputs:
            raise ValueError(
                f"it has {data['inputs']!r} inputs and {len(outputs)} outputs, "
                f"not {num_inputs} and {num_outputs}"
            )
        if len(nodes) > MAX_NODES or len(connections) > MAX_CONNECTIONS:
            raise ValueError(
                f"it has {len(nodes):,} nodes and {len(connections):,} connections; "
                f"up to {MAX_NODES:,} and {MAX_CONNECTIONS:,} are allowed"
            )
        for node in nodes:
            _check_node(node)
        end = num_inputs + len(nodes)
        for connection in connections:
            _check_connection(connection, num_inputs, end)
        if len({tuple(connection) for connection in connections}) < len(connections):
            raise ValueError("two connections join the same nodes")
        if any(type(output) is not int or not num_inputs <= output < end for output in outputs):
            raise ValueError(f"its outputs {outputs} are not all nodes, {num_inputs} to {end - 1}")
        return cls(
            num_inputs,
            tuple((activation, aggregation) for activation, aggregation in nodes),
            tuple((source, target) for source, target in connections),
            tuple(outputs),
        )

    def levels(self) -> list[int]:
        """Each node's level: one more than the highest of the nodes that it hears of, 0 without any."""
        levels = [0] * len(self.nodes)
        for source, target in sorted(self.connections, key=lambda connection: connection[1]):
            if source >= self.num_inputs:
                node = target - self.num_inputs
                levels[node] = max(levels[node], levels[source - self.num_inputs] + 1)
        return levels


@dataclass(frozen=True)
class Individual:
    """A graph with its weights (connections,) and biases (nodes,)."""

    graph: NodeGraph
    weights: Tensor
    biases: Tensor


def layered(num_inputs: int, hidden: Sequence[str], num_outputs: int) -> NodeGraph:
    """All inputs to all hidden nodes, of these activations, and those to the outputs; or at once, without."""
    first_output = num_inputs + len(hidden)
    middle = range(num_inputs, first_output)
    outputs = tuple(range(first_output, first_output + num_outputs))
    into = [(source, node) for node in middle for source in range(num_inputs)]
    out = [(node, output) for output in outputs for node in (middle or range(num_inputs))]
    nodes = (*((activation, "sum") for activation in hidden), *(("identity", "sum") for _ in outputs))
    return NodeGraph(num_inputs, nodes, tuple(into + out), outputs)


def _list(data: dict[str, Any], key: str) -> list[Any]:
    if not isinstance(data[key], list):
        raise ValueError(f"its {key} are no list")
    found: list[Any] = data[key]
    return found


def _check_node(node: Any) -> None:
    if not isinstance(node, list) or len(node) != 2:
        raise ValueError(f"a node is an activation and an aggregation, not {str(node)[:80]}")
    for name, known in zip(node, (ACTIVATIONS, AGGREGATIONS), strict=True):
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"{str(name)[:80]!r} is none of {', '.join(known)}")


def _check_connection(connection: Any, num_inputs: int, end: int) -> None:
    if (
        not isinstance(connection, list)
        or len(connection) != 2
        or any(type(number) is not int for number in connection)
    ):
        raise ValueError(f"a connection is two numbers of nodes, not {str(connection)[:80]}")
    source, target = connection
    if not 0 <= source < end or not num_inputs <= target < end:
        raise ValueError(f"it has no nodes that a connection from {source} to {target} could join")
    if source >= target:
        raise ValueError(f"the connection from {source} to {target} leads back: graphs have no cycles")

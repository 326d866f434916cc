"""Many different graphs of nodes, evaluated at once, level by level.

The nodes of one level of all graphs stand next to each other, filled up to the same number a graph, so that a
level is one batched matrix product with each level that it hears of. The graphs are asked on a grid, where
what a node hears of the inputs is a term of the row plus one of the column: no table of points is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genophen_plugins.genotypes.node_graph import ACTIVATIONS, Individual

#: Bytes of node values that are held at once, by as many graphs as fit.
BLOCK_BYTES = 16 * 2**20
#: The level of the inputs.
INPUTS = -1


def evaluate(individuals: Sequence[Individual], rows: Tensor, columns: Tensor) -> Tensor:
    """The outputs (P, O, A, B) of P graphs at the points of a grid.

    The inputs at the point (a, b) are rows[:, a] + columns[:, b], of rows (I, A) and columns (I, B).
    """
    points = rows.shape[1] * columns.shape[1]
    nodes = max(len(each.graph.nodes) for each in individuals)
    step = max(1, BLOCK_BYTES // (rows.element_size() * points * nodes))
    blocks = [individuals[start : start + step] for start in range(0, len(individuals), step)]
    return torch.cat([_Block(block).outputs(rows, columns) for block in blocks])


class _Block:
    """Graphs that are evaluated together: the nodes of a level in places of their own, for each graph."""

    def __init__(self, individuals: Sequence[Individual]) -> None:
        self._individuals = individuals
        of_graph = [each.graph.levels() for each in individuals]
        levels = range(1 + max(max(each) for each in of_graph))
        self._widths = [max(each.count(level) for each in of_graph) for level in levels]
        #: Level and place of each node, by graph.
        self._places = [
            [(level, each[:node].count(level)) for node, level in enumerate(each)] for each in of_graph
        ]
        self._weights = torch.cat([each.weights for each in individuals])
        self._biases = [self._bias_table(level) for level in levels]
        self._tables = self._weight_tables()

    def outputs(self, rows: Tensor, columns: Tensor) -> Tensor:
        """The outputs (P, O, A, B) on a grid."""
        values: list[Tensor] = []  # (P, nodes, A B) by level
        for level, biases in enumerate(self._biases):
            sums = biases[..., None, None]
            if (level, INPUTS) in self._tables:
                weights = self._tables[level, INPUTS]  # (P, nodes, I)
                sums = sums + (weights @ rows)[..., None] + (weights @ columns)[..., None, :]
            shape = (*biases.shape, rows.shape[1], columns.shape[1])
            total = sums.expand(shape).flatten(2)
            for earlier in range(level):
                if (level, earlier) in self._tables:
                    total = torch.baddbmm(total, self._tables[level, earlier], values[earlier])
            values.append(self._activated(self._with_others(total, level, values, rows, columns), level))
        answers = []
        for p, (each, places) in enumerate(zip(self._individuals, self._places, strict=True)):
            for output in each.graph.outputs:
                level, place = places[output - each.graph.num_inputs]
                answers.append(values[level][p, place])
        return torch.stack(answers).view(len(self._individuals), -1, rows.shape[1], columns.shape[1])

    def _bias_table(self, level: int) -> Tensor:
        """The biases of a level's nodes, (P, nodes)."""
        own = [
            each.biases[[node for node, (other, _) in enumerate(places) if other == level]]
            for each, places in zip(self._individuals, self._places, strict=True)
        ]
        return torch.nn.utils.rnn.pad_sequence(own, batch_first=True)

    def _weight_tables(self) -> dict[tuple[int, int], Tensor]:
        """The weights between two levels, (P, nodes, earlier nodes), by both; those of summing nodes."""
        entries: dict[tuple[int, int], list[tuple[int, int, int, int, float]]] = {}
        first = 0
        for p, (each, places) in enumerate(zip(self._individuals, self._places, strict=True)):
            graph = each.graph
            targets = [target for _, target in graph.connections]
            for number, (source, target) in enumerate(graph.connections):
                aggregation = graph.nodes[target - graph.num_inputs][1]
                if aggregation in _OTHERS:
                    continue
                level, place = places[target - graph.num_inputs]
                of_input = source < graph.num_inputs
                earlier, other = (INPUTS, source) if of_input else places[source - graph.num_inputs]
                share = 1 / targets.count(target) if aggregation == "mean" else 1.0
                entries.setdefault((level, earlier), []).append((p, place, other, first + number, share))
            first += len(graph.connections)
        return {key: self._table(*key, found) for key, found in entries.items()}

    def _table(self, level: int, earlier: int, entries: list[tuple[int, int, int, int, float]]) -> Tensor:
        width = self._individuals[0].graph.num_inputs if earlier == INPUTS else self._widths[earlier]
        *places, numbers, shares = zip(*entries, strict=True)
        weights = self._weights[torch.tensor(numbers, device=self._weights.device)]
        empty = self._weights.new_zeros(len(self._individuals), self._widths[level], width)
        indices = tuple(torch.tensor(each, device=empty.device) for each in places)
        return empty.index_put(indices, weights * empty.new_tensor(shares))

    def _with_others(
        self, sums: Tensor, level: int, values: list[Tensor], rows: Tensor, columns: Tensor
    ) -> Tensor:
        """The level's sums (P, nodes, A B) with what the nodes that do not sum make of their inputs."""
        found: list[Tensor] = []
        indices: list[int] = []
        for p, (each, places) in enumerate(zip(self._individuals, self._places, strict=True)):
            graph = each.graph
            for node, (other, place) in enumerate(places):
                combine = _OTHERS.get(graph.nodes[node][1])
                if other != level or combine is None:
                    continue
                terms = []
                for number, (source, target) in enumerate(graph.connections):
                    if target - graph.num_inputs == node:
                        if source < graph.num_inputs:
                            value = (rows[source][:, None] + columns[source]).flatten()
                        else:
                            at, index = places[source - graph.num_inputs]
                            value = values[at][p, index]
                        terms.append(value * each.weights[number])
                indices.append(p * sums.shape[1] + place)
                empty = sums.new_full(sums.shape[2:], 1.0 if graph.nodes[node][1] == "product" else 0.0)
                found.append((combine(torch.stack(terms)) if terms else empty) + each.biases[node])
        if not found:
            return sums
        flat = sums.flatten(0, 1)
        where = torch.tensor(indices, device=sums.device)
        return flat.index_copy(0, where, torch.stack(found)).view_as(sums)

    def _activated(self, sums: Tensor, level: int) -> Tensor:
        """Each node's activation of its own, on (P, nodes, A B)."""
        width = sums.shape[1]
        rows_of: dict[str, list[int]] = {}
        for p, (each, places) in enumerate(zip(self._individuals, self._places, strict=True)):
            for (activation, _), (other, place) in zip(each.graph.nodes, places, strict=True):
                if other == level:
                    rows_of.setdefault(activation, []).append(p * width + place)
        flat = sums.flatten(0, 1)
        order = [row for rows in rows_of.values() for row in rows]
        if len(rows_of) == 1 and len(order) == len(flat):
            return ACTIVATIONS[next(iter(rows_of))](sums)
        where = torch.tensor(order, device=sums.device)
        parts = flat[where].split([len(rows) for rows in rows_of.values()])
        activated = [ACTIVATIONS[name](part) for name, part in zip(rows_of, parts, strict=True)]
        return flat.index_copy(0, where, torch.cat(activated)).view_as(sums)


#: What nodes that do not sum make of their weighted inputs (terms, points).
_OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "product": lambda terms: terms.prod(0),
    "max": lambda terms: terms.amax(0),
    "min": lambda terms: terms.amin(0),
}

"""The genotype cppn-graph: graphs evaluated together, their state, and what a file may claim."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from genophen_plugins.genotypes import cppn_graph, graph_evaluation
from genophen_plugins.genotypes.graph_evaluation import evaluate
from genophen_plugins.genotypes.node_graph import ACTIVATIONS, AGGREGATIONS, Individual, NodeGraph, layered
from helpers import compiled, digits_tables, plugin_class
from torch import Tensor, nn

import genophen
from genophen.storage.checkpoint import load_checkpoint, save_checkpoint
from genophen.storage.guard import GuardedPath
from genophen.testing import check_genotype

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sin": math.sin,
    "cos": math.cos,
    "gauss": lambda v: math.exp(-v * v) if abs(v) < 20 else 0.0,
    "tanh": math.tanh,
    "identity": lambda v: v,
    "abs": abs,
    "relu": lambda v: max(v, 0.0),
    "sigmoid": lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0,
}
COMBINED: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "mean": lambda terms: sum(terms) / len(terms) if terms else 0.0,
    "product": math.prod,
    "max": lambda terms: max(terms, default=0.0),
    "min": lambda terms: min(terms, default=0.0),
}


def grown(rng: random.Random, inputs: int, nodes: int, outputs: int = 1) -> Individual:
    """A random graph, in float64."""
    kinds = [(rng.choice(list(ACTIVATIONS)), rng.choice(AGGREGATIONS)) for _ in range(nodes)]
    connections = [
        (source, target)
        for target in range(inputs, inputs + nodes)
        for source in sorted(rng.sample(range(target), rng.randint(0, min(5, target))))
    ]
    last = tuple(range(inputs + nodes - outputs, inputs + nodes))
    graph = NodeGraph(inputs, tuple(kinds), tuple(connections), last)
    draw = [torch.tensor([rng.gauss(0, 1) for _ in part]).double() for part in (connections, kinds)]
    return Individual(graph, *draw)


def by_hand(individual: Individual, point: Sequence[float]) -> list[float]:
    """The outputs at one point, node by node."""
    graph, values = individual.graph, list(point)
    for number, (activation, aggregation) in enumerate(graph.nodes):
        terms = [
            float(weight) * values[source]
            for (source, target), weight in zip(graph.connections, individual.weights, strict=True)
            if target == graph.num_inputs + number
        ]
        values.append(FUNCTIONS[activation](COMBINED[aggregation](terms) + float(individual.biases[number])))
    return [values[output] for output in graph.outputs]


def test_different_graphs_together_give_what_each_gives_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    graphs = [grown(rng, 3, rng.randint(2, 12), outputs=2) for _ in range(20)]
    rows, columns = torch.randn(3, 4).double(), torch.randn(3, 5).double()
    found = evaluate(graphs, rows, columns)
    assert found.shape == (20, 2, 4, 5)
    for graph, outputs in zip(graphs, found, strict=True):
        for a, b in itertools.product(range(4), range(5)):
            expected = torch.tensor(by_hand(graph, (rows[:, a] + columns[:, b]).tolist())).double()
            torch.testing.assert_close(outputs[:, a, b], expected, rtol=1e-6, atol=1e-6)
    monkeypatch.setattr(graph_evaluation, "BLOCK_BYTES", 8 * 20 * 12 * 3)  # three graphs at a time
    torch.testing.assert_close(evaluate(graphs, rows, columns), found, rtol=1e-12, atol=1e-12)


def test_weights_are_the_graphs_answers_to_their_coordinates() -> None:
    phenotype = compiled(genotype="cppn-graph", normalization="none", channel_scale=3.0, spatial_scale=0.5)
    genotype = phenotype.double().genotype
    genotype.become(grown(random.Random(1), 6, 9))
    weights = {name: weight.detach() for name, weight in phenotype.weights().items()}
    own = Individual(genotype.graph, genotype.weights.detach(), genotype.biases.detach())
    for layer, name in enumerate(["0.weight", "3.weight", "5.weight"]):
        shape = tuple(weights[name].shape)
        for place in [(0, 0, 0, 0), tuple(size - 1 for size in shape), (4, 2, 0, shape[3] - 1)]:
            middle = [index - (size - 1) / 2 for index, size in zip(place, shape, strict=True)]
            y, x = middle[2] / (shape[2] / 2), middle[3] / (shape[3] / 2)
            channels = [3 * value / 8 for value in (layer, middle[0], middle[1])]
            (answer,) = by_hand(own, [*channels, 0.5 * y, 0.5 * x, 0.5 * math.hypot(y, x)])
            expected = answer * math.sqrt(2 / math.prod(shape[1:]))
            assert float(weights[name][place]) == pytest.approx(expected, rel=1e-9)


def test_a_second_output_expresses_weights_or_not() -> None:
    options = {"normalization": "none", "leo": True}
    genotype = compiled(genotype="cppn-graph", seed=3, **options).genotype
    weight = genotype.express()["3.weight"]
    own = Individual(genotype.graph, genotype.weights, genotype.biases)
    assert genotype.graph.outputs == (14, 15)
    one, other = (
        NodeGraph(6, own.graph.nodes, own.graph.connections, (output,)) for output in own.graph.outputs
    )
    answers, leo = (
        evaluate([Individual(graph, own.weights, own.biases)], *coordinates(genotype, "3.weight"))
        for graph in (one, other)
    )
    expected = (answers * (leo > 0)).view(weight.shape) * math.sqrt(2 / 500)
    torch.testing.assert_close(weight, expected)
    assert 0.05 < (weight == 0).float().mean() < 0.95


def coordinates(genotype: Any, name: str) -> tuple[Tensor, Tensor]:
    return genotype._coordinates(next(t for t in genotype._targets if t.name == name))


def test_large_kernels_are_computed_in_parts_with_the_same_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gradients() -> list[Tensor]:
        phenotype = compiled(genotype="cppn-graph").double()
        total = sum(weight.pow(3).sum() for weight in phenotype.weights().values())
        return [total.detach(), *torch.autograd.grad(total, list(phenotype.genotype.parameters()))]

    whole = gradients()
    monkeypatch.setattr(cppn_graph, "MAX_VALUES", 9 * 7 * 20 * 25)
    for one, other in zip(whole, gradients(), strict=True):
        torch.testing.assert_close(one, other)


def test_kernels_start_near_variance_2_over_fan_in_without_normalization() -> None:
    network = nn.Sequential(nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(64, 50))
    scaled = []
    for seed in range(30):
        weights = genophen.compile(
            network, "*.weight", "cppn-graph", seed=seed, normalization="none"
        ).weights()
        scaled += [weights["0.weight"].square().mean() * 144, weights["2.weight"].square().mean() * 64]
    assert torch.stack(scaled).mean().item() == pytest.approx(2, rel=0.25)


def test_counts_and_genes() -> None:
    phenotype = compiled(genotype="cppn-graph")
    counts = phenotype.parameter_counts()
    one_graph = 6 * 8 + 8 + (8 + 1)  # weights of either layer, biases
    assert (counts.embedding, counts.generator, counts.kernel) == (0, one_graph, one_graph)
    assert phenotype.genotype.genes("generator") == ["weights", "biases"]
    with pytest.raises(genophen.ConfigError, match="cppn-graph has no embeddings"):
        phenotype.genes("embeddings")
    assert compiled(genotype="cppn-graph", hidden_nodes=0).parameter_counts().kernel == 6 + 1


def test_it_keeps_the_contract() -> None:
    check_genotype(plugin_class("genotype", "cppn-graph"))


def test_structures_and_drawings_that_are_none_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = plugin_class("genotype", "cppn-graph")
    with monkeypatch.context() as patched:
        patched.setattr(cls, "drawing", lambda self: genophen.Drawing([("a", 0)], [(0, 1, 1.0)]))
        with pytest.raises(AssertionError, match="links that join no two of its 1 nodes"):
            check_genotype(cls)
    monkeypatch.setattr(cls, "structure", lambda self: {"nodes": (1, 2)})
    with pytest.raises(AssertionError, match="something else after it was written as JSON"):
        check_genotype(cls)


def test_a_state_brings_its_structure_with_it() -> None:
    phenotype, other = compiled(genotype="cppn-graph"), compiled(genotype="cppn-graph", seed=1)
    parameters = list(other.genotype.parameters())
    phenotype.genotype.become(grown(random.Random(2), 6, 9))
    other.load_state_dict(phenotype.state_dict())
    assert other.genotype.graph == phenotype.genotype.graph
    for name, weight in phenotype.weights().items():
        assert torch.equal(weight, other.weights()[name])
    assert all(a is b for a, b in zip(parameters, other.genotype.parameters(), strict=True))
    assert phenotype.genotype.structure() == json.loads(json.dumps(phenotype.genotype.structure()))


def test_gates_are_layers_of_their_own_and_a_third_axis_is_an_input() -> None:
    network = nn.ModuleDict({"gru": nn.GRU(3, 4), "conv": nn.Conv3d(2, 5, 3)})
    phenotype = genophen.compile(
        network, ["gru.weight_ih_l0", "conv.weight"], "cppn-graph", normalization="none"
    )
    genotype = phenotype.genotype
    assert genotype.num_inputs == 7
    rows, columns = coordinates(genotype, "gru.weight_ih_l0")
    assert rows[0].tolist() == pytest.approx([20 * gate / 3 / 8 for gate in range(3) for _ in range(4)])
    assert rows[1].tolist() == [20 * (output - 1.5) / 8 for output in range(4)] * 3
    _, columns = coordinates(genotype, "conv.weight")
    assert columns[6].view(2, 3, 3, 3)[0, :, 0, 0].tolist() == pytest.approx([-2 / 3, 0, 2 / 3])
    corner = math.sqrt(3) * 2 / 3
    assert float(columns[5, 0]) == pytest.approx(corner)


def test_it_learns_the_digits_and_another_structure_takes_over_what_it_learned(tmp_path: Path) -> None:
    tables = digits_tables(rounds=5)
    tables["genotype"] = {"name": "cppn-graph", "cppn-graph": {"hidden_nodes": 12}}
    tables["optimizer"]["adam"] = {"learning_rate": 0.005}
    run = genophen.run(tables, out=tmp_path / "run")
    assert run["validation_accuracy"] > 0.8
    assert run["parameters"]["kernel"] == 12 * 6 + 12 + 13
    network = run.phenotype().materialize()
    other = genophen.compile(network, ["conv2.weight"], "cppn-graph", hidden_nodes=4, conv_bias=False)
    genophen.load_weights(other, tmp_path / "run")
    assert torch.equal(other.weights()["conv2.weight"], run.phenotype().weights()["conv2.weight"])


GRAPH = layered(6, ["sin", "tanh"], 1).plain()
HOSTILE = {
    "cycle": ({**GRAPH, "connections": [*GRAPH["connections"], [7, 6]]}, "from 7 to 6 leads back"),
    "loop": ({**GRAPH, "connections": [*GRAPH["connections"], [7, 7]]}, "from 7 to 7 leads back"),
    "twice": ({**GRAPH, "connections": [*GRAPH["connections"], [0, 6]]}, "two connections join"),
    "nowhere": ({**GRAPH, "connections": [[0, 99]]}, "from 0 to 99"),
    "into an input": ({**GRAPH, "connections": [[0, 3]]}, "from 0 to 3"),
    "a million nodes": ({**GRAPH, "nodes": [["sin", "sum"]] * 10**6}, "1,000,000 nodes"),
    "unknown activation": ({**GRAPH, "nodes": [["exec", "sum"]] * 3}, "'exec' is none of sin"),
    "unknown aggregation": ({**GRAPH, "nodes": [["sin", []]] * 3}, "is none of sum"),
    "no activation": ({**GRAPH, "nodes": ["sin"] * 3}, "an activation and an aggregation, not sin"),
    "no outputs": ({**GRAPH, "outputs": []}, "6 inputs and 0 outputs, not 6 and 1"),
    "an input put out": ({**GRAPH, "outputs": [2]}, "are not all nodes"),
    "other inputs": ({**GRAPH, "inputs": 7}, "7 inputs"),
    "no table": ([1, 2], "a graph is a table"),
    "no list": ({**GRAPH, "nodes": {}}, "nodes are no list"),
    "floats": ({**GRAPH, "connections": [[0.5, 6]]}, "two numbers of nodes"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_structures_are_refused_with_words(case: str) -> None:
    structure, words = HOSTILE[case]
    phenotype = compiled(genotype="cppn-graph")
    state = phenotype.state_dict()
    state["genotype._extra_state"] = torch.tensor(list(json.dumps(structure).encode()), dtype=torch.uint8)
    with pytest.raises(genophen.DamagedError, match=r"structure of the genotype cppn-graph[\s\S]*" + words):
        phenotype.load_state_dict(state)


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_bytes_that_are_no_structure_are_refused(text: bytes) -> None:
    phenotype = compiled(genotype="cppn-graph")
    state = phenotype.state_dict()
    state["genotype._extra_state"] = torch.tensor(list(text), dtype=torch.uint8)
    with pytest.raises(genophen.DamagedError, match="cannot restore the structure"):
        phenotype.load_state_dict(state)


def test_damaged_graphs_of_a_run_end_in_exit_code_4(tmp_path: Path) -> None:
    tables = digits_tables(rounds=1)
    tables["genotype"] = {"name": "cppn-graph"}
    run = genophen.run(tables, out=tmp_path / "run")
    best, name = GuardedPath(run.directory) / "best", "genotype.weights"
    tensors, values = load_checkpoint(best)
    save_checkpoint(best, "x", {**tensors, name: tensors[name] * torch.nan}, values)
    with pytest.raises(genophen.DamagedError, match="weights has numbers that are not") as caught:
        run.phenotype()
    assert caught.value.exit_code == 4

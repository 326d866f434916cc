"""The optimizer neat: graphs that grow, in species, and go on to the bit."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from genophen_plugins.genotypes.graph_evaluation import evaluate
from genophen_plugins.genotypes.node_graph import Individual, NodeGraph, layered
from genophen_plugins.optimizers.neat.search import NEATSearch
from genophen_plugins.optimizers.neat.settings import NEATOptions
from helpers import digits_tables, plugin_class
from test_cppn_graph import COMBINED, FUNCTIONS

import genophen
from genophen.storage.checkpoint import load_checkpoint, save_checkpoint
from genophen.storage.guard import GuardedPath
from genophen.storage.packing import pack, unpack
from genophen.testing import check_optimizer
from genophen.testing.optimizer import OptimizerTrial

neat = pytest.importorskip("neat")

POINTS = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
GROWING: dict[str, Any] = {
    "node_add": 0.5,
    "connection_add": 0.6,
    "activation_mutate": 0.3,
    "aggregations": ("sum", "mean", "product", "max", "min"),
    "compatibility_threshold": 1.5,
}


def search(seed: int = 0, **options: Any) -> NEATSearch:
    """A search over graphs of two inputs that begins with a single sigmoid node."""
    graph = NodeGraph(2, (("sigmoid", "sum"),), ((0, 2), (1, 2)), (2,))
    weights = torch.randn(3, generator=torch.Generator().manual_seed(seed))
    start = Individual(graph, weights[:2], weights[2:])
    return NEATSearch(start, NEATOptions(stdev_init=1.0, **options), seed)


def answers(graphs: list[Individual], points: torch.Tensor) -> torch.Tensor:
    """Outputs (P, points) of graphs with one output at points (inputs, points)."""
    return evaluate(graphs, points, points.new_zeros(len(points), 1))[:, 0, :, 0]


def after_generations(searched: NEATSearch, count: int) -> NEATSearch:
    for _ in range(count):
        searched.tell(answers(searched.ask(), POINTS).nan_to_num(0).clamp(-9, 9).var(1).tolist())
    return searched


@pytest.mark.parametrize("seed", range(3))
def test_it_solves_xor(seed: int) -> None:
    searched = search(seed, population_size=150, activations=("sigmoid",))
    for _ in range(300):
        graphs = searched.ask()
        fitness = 4 - (answers(graphs, POINTS) - torch.tensor([0.0, 1.0, 1.0, 0.0])).square().sum(1)
        if fitness.max() > 3.9:
            assert len(graphs[int(fitness.argmax())].graph.nodes) > 1
            return
        searched.tell(fitness.tolist())
    pytest.fail("not solved in 300 generations")


def test_grown_graphs_answer_as_neat_pythons_interpreter_does() -> None:
    searched = after_generations(search(population_size=40, **GROWING), 12)
    config = searched._config.genome_config
    for name, function in FUNCTIONS.items():
        config.activation_defs.functions[name] = function
    config.aggregation_defs.functions |= COMBINED
    points = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    found = answers(searched.ask(), points)
    assert {len(each.graph.nodes) for each in searched.ask()} >= {1, 2, 3}
    namespace = type("Config", (), {"genome_config": config})
    for genome, outputs in zip(searched._population.values(), found, strict=True):
        network = neat.nn.FeedForwardNetwork.create(genome, namespace)
        expected = [network.activate(point)[0] for point in points.T.tolist()]
        assert outputs.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("moment", range(1, 11))
def test_a_restored_search_goes_on_to_the_bit(moment: int) -> None:
    whole = after_generations(search(population_size=30, **GROWING), moment)
    state = unpack(*pack(whole.state_dict(), "search"))
    assert json.loads(json.dumps(pack(whole.state_dict(), "search")[1]))  # plain data
    again = search(seed=99, population_size=30, **GROWING)
    again.load_state_dict(state)
    for _ in range(6):
        after_generations(whole, 1)
        after_generations(again, 1)
        for one, other in zip(whole.ask(), again.ask(), strict=True):
            assert one.graph == other.graph
            assert torch.equal(one.weights, other.weights)
            assert torch.equal(one.biases, other.biases)
    assert whole.num_species == again.num_species
    assert moment < 5 or whole.num_species > 1


def changed(nodes: Any = None, connections: Any = None) -> dict[str, Any]:
    """A saved search whose first genome claims something else."""
    state = after_generations(search(population_size=6), 2).state_dict()
    genome = state["genomes"][0]
    genome["nodes"] = nodes or genome["nodes"]
    genome["connections"] = connections or genome["connections"]
    return state


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"connections": [[0, 0, 1.0, True, 1]]}, "have no cycles"),
        ({"connections": [[-1, 7, 1.0, True, 1]]}, "from -1 to 7"),
        ({"connections": [[-1, 0, float("nan"), True, 1]]}, "not finite"),
        ({"nodes": [[0, 1.0, 1.0, "exec", "sum", 1.0]]}, "'exec' is none of sin"),
        ({"nodes": [[0, 1.0, 1.0, "sin", [], 1.0]]}, "is none of sum"),
        ({"nodes": [[0, 1.0, 1.0, "sin", "sum", 1.0]] * 10**6}, "1,000,000 nodes"),
    ],
    ids=["cycle", "nowhere", "nan", "activation", "aggregation", "a million nodes"],
)
def test_hostile_genomes_are_refused_with_words(state: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        search(population_size=6).load_state_dict(changed(**state))


def test_a_hostile_checkpoint_ends_in_exit_code_4(tmp_path: Path) -> None:
    part = tables()
    part["training"]["rounds"] = 1
    genophen.run(part, out=tmp_path / "run")
    checkpoints = GuardedPath(tmp_path / "run") / "checkpoints"
    checkpoint = checkpoints / checkpoints.names()[-1]
    tensors, values = load_checkpoint(checkpoint)
    text = json.dumps(values).replace('"sin", "sum"', '"exec", "sum"')
    assert text != json.dumps(values)
    save_checkpoint(checkpoint, "x", tensors, json.loads(text))
    with pytest.raises(genophen.GenophenError, match="'exec' is none of sin") as caught:
        genophen.resume(tmp_path / "run", rounds=2)
    assert caught.value.exit_code == 4


def test_pythons_own_generator_is_left_as_it_was() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    after_generations(search(population_size=20), 2)
    assert random.random() == expected


def test_the_first_graph_is_the_start_and_the_others_lie_around_it() -> None:
    searched = search(population_size=20)
    first, *others = searched.ask()
    assert first.graph == searched.best.graph == others[0].graph
    torch.testing.assert_close(first.weights, searched.best.weights)
    spread = torch.stack([each.weights - first.weights for each in others])
    assert 0.5 < float(spread.std()) < 1.5


def test_small_populations_of_many_species_go_on() -> None:
    options = {**GROWING, "compatibility_threshold": 0.01, "elitism": 3}
    searched = after_generations(search(population_size=6, **options), 8)
    assert len(searched.ask()) == 6


def test_a_layered_start_survives_the_way_to_a_genome_and_back() -> None:
    graph = layered(3, ["sin", "gauss"], 2)
    weights = torch.arange(len(graph.connections)).float()
    searched = NEATSearch(
        Individual(graph, weights, torch.arange(4).float()), NEATOptions(population_size=4), 0
    )
    first = searched.ask()[0]
    points = torch.randn(3, 5)
    expected = evaluate([Individual(graph, weights, torch.arange(4).float())], points, torch.zeros(3, 1))
    torch.testing.assert_close(evaluate([first], points, torch.zeros(3, 1)), expected)


def test_it_keeps_the_contract() -> None:
    check_optimizer(plugin_class("optimizer", "neat"))


def test_graphs_are_judged_as_they_are_when_measured() -> None:
    cls = plugin_class("optimizer", "neat")
    options = cls.Options(population_size=10, fitness="cross-entropy", **GROWING)
    trial = OptimizerTrial(cls, options, plugin_class("genotype", "cppn-graph"))
    for _ in range(3):
        trial.step()
    optimizer = trial.optimizer
    graphs = optimizer._search.ask()
    images, labels = optimizer._fitness.draw()
    counted = trial.phenotype.samples.forward_samples
    fitness = optimizer._fitness(optimizer._population, optimizer._population.take(graphs), (images, labels))
    assert trial.phenotype.samples.forward_samples == counted + 10 * len(images)
    for graph, found in zip(graphs, fitness, strict=True):
        trial.phenotype.genotype.become(graph)
        with torch.no_grad():
            logits = trial.phenotype.eval()(images)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        assert float(found) == pytest.approx(-float(loss), rel=1e-4)


def tables(**options: Any) -> dict[str, Any]:
    found = digits_tables(rounds=3)
    found["genotype"] = {"name": "cppn-graph", "cppn-graph": {"hidden_nodes": 4}}
    found["optimizer"] = {
        "name": "neat",
        "neat": {"population_size": 8, "generations_per_round": 4, "ridge_images": 200, **options},
    }
    return found


def test_a_run_grows_its_graph_resumes_to_the_bit_and_is_trained_on(tmp_path: Path) -> None:
    whole = genophen.run(tables(readout="ridge", **GROWING), out=tmp_path / "whole")
    assert whole["validation_accuracy"] > 0.8
    assert whole["optimizer"] == "neat"
    graph = whole.phenotype().genotype.graph
    assert graph != layered(6, ["sin", "cos", "gauss", "tanh"], 1)
    assert whole["parameters"]["kernel"] == len(graph.nodes) + len(graph.connections)

    part = tables(readout="ridge", **GROWING)
    part["training"]["rounds"] = 1
    genophen.run(part, out=tmp_path / "part")
    resumed = genophen.resume(tmp_path / "part", rounds=3)
    assert resumed["test_accuracy"] == whole["test_accuracy"]
    assert (tmp_path / "part" / "metrics.jsonl").read_text() == (
        tmp_path / "whole" / "metrics.jsonl"
    ).read_text()

    trained = tables()
    trained["optimizer"] = {"name": "adam", "adam": {"warm_start": str(tmp_path / "whole")}}
    trained["training"]["rounds"] = 1
    result = genophen.run(trained, out=tmp_path / "trained")
    assert result.phenotype().genotype.graph == graph
    assert result["parameters"]["kernel"] == len(graph.nodes) + len(graph.connections)
    assert result.metrics[0]["validation_accuracy"] == whole["validation_accuracy"]


def test_other_genotypes_are_refused_before_any_work(tmp_path: Path) -> None:
    wrong = tables()
    wrong["genotype"] = {"name": "hypernetwork"}
    with pytest.raises(
        genophen.ConfigError, match=r"'neat' does not work on the genotype hypernetwork[\s\S]*cppn-graph"
    ):
        genophen.run(wrong, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_neat_python_all_else_works_and_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "neat", None)
    with pytest.raises(genophen.GenophenError, match=re.escape(genophen.install_command("neat"))):
        genophen.run(tables(), out=tmp_path / "run")
    assert plugin_class("optimizer", "neat").name == "neat"  # listed as ever, with its settings
    trained = tables()
    trained["optimizer"] = {"name": "adam"}
    trained["training"]["rounds"] = 1
    assert genophen.run(trained, out=tmp_path / "trained")["status"] == "completed"

"""The benchmarks' code runs, and its contestants do the same work; the times are not looked at here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.filterwarnings("ignore")  # DataLoader workers fork a process that has threads
def test_the_contestants_take_steps_and_batches() -> None:
    from benchmarks.training_round import CASES, batch_sources, contestants

    for step in contestants(CASES[0], images=600).values():
        step()
    shapes = {name: next_batch()[0].shape for name, next_batch in batch_sources(CASES[0], 600).items()}
    assert set(shapes.values()) == {torch.Size([250, 1, 28, 28])}


@pytest.mark.parametrize("scope", ["embeddings", "genotype"])
@pytest.mark.filterwarnings("ignore")  # evotorch's
def test_the_contestants_find_the_same_losses(scope: str) -> None:
    from benchmarks.population import contestants

    with torch.no_grad():
        losses = {name: evaluate() for name, evaluate in contestants(scope, 6, images=20).items()}
    for name, values in losses.items():
        torch.testing.assert_close(values, losses["loop"], rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize("scope", ["embeddings", "last layer", "genotype"])
def test_populations_and_loops_over_networks_of_others_find_the_same(scope: str) -> None:
    from benchmarks.population_networks import contestants, policy_contestants

    with torch.no_grad():
        for calls in (contestants("mobilenet_v3_small", scope, 3, images=2), policy_contestants(3)):
            found = {name: evaluate() for name, evaluate in calls.items()}
            for values in found.values():
                torch.testing.assert_close(values, found["genophen"][: len(values)], rtol=1e-4, atol=1e-4)


def test_graphs_together_and_neat_pythons_interpreter_write_the_same_weights() -> None:
    pytest.importorskip("neat")
    from benchmarks.graphs import contestants

    found = {name: write() for name, write in contestants(2).items()}
    assert found["genophen"].shape == (2, 12_544)
    torch.testing.assert_close(found["genophen"], found["neat-python"], rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # the peers'
def test_whatever_generates_weights_writes_the_same_shapes_and_the_loop_the_same_weights() -> None:
    from benchmarks.generation import contestants

    written = {name: generate() for name, generate in contestants(False, 4)[0].items()}
    shapes = {name: {n: w.shape for n, w in weights.items()} for name, weights in written.items()}
    assert all(value == shapes["genophen"] for value in shapes.values())
    for name, weight in written["genophen"].items():
        torch.testing.assert_close(written["block loop"][name], weight, rtol=1e-4, atol=1e-5)


def test_the_floor_counts_a_steps_operations_and_bytes() -> None:
    from benchmarks.floor import count_floor, make_step

    network = torch.nn.Sequential(torch.nn.Linear(10, 20), torch.nn.ReLU(), torch.nn.Linear(20, 5))
    images, labels = torch.randn(8, 10), torch.zeros(8, dtype=torch.int64)
    floor = count_floor(network, images, labels, torch.bfloat16)
    # The first layer's forward and its weights' gradient; the second's input has a gradient, too.
    assert floor.operations == 2 * 8 * (2 * 10 * 20 + 3 * 20 * 5)
    assert floor.moved == 5 * 2 * 8 * (20 + 5) + 7 * 4 * (10 * 20 + 20 + 20 * 5 + 5)
    assert floor.seconds == max(
        floor.operations / floor.operations_per_second, floor.moved / floor.bytes_per_second
    )
    before = network[0].weight.detach().clone()
    make_step(network, images, labels, torch.bfloat16)()
    assert not torch.equal(network[0].weight, before)


def test_a_slower_contestant_shows_and_a_target_is_judged_by_the_interval(tmp_path: Path) -> None:
    from benchmarks.table import Table, save
    from benchmarks.timing import against, compare, median_interval

    values = [float(value) for value in range(1, 21)]
    assert median_interval(values) == (6.0, 15.0)  # the binomial tables' for n = 20
    row = against("ours", [2.0] * 10, [1.0] * 9 + [2.0])
    assert (row.ratio, row.low, row.high) == (2.0, 2.0, 2.0)
    table = Table("a title", [row], at_most={"ours": 1.9})
    assert table.lines()[0][-1] == "<= 1.9: missed"
    small, large = torch.randn(20, 20), torch.randn(800, 800)
    rows = {
        row.name: row for row in compare({"a": lambda: small @ small, "b": lambda: large @ large}, "a", 7)
    }
    assert rows["a"].ratio == 1
    assert rows["b"].low > 1
    save("section", [table], {"threads": 1}, tmp_path)
    assert json.loads((tmp_path / "section.json").read_text())["tables"][0]["rows"][0]["ratio"] == 2.0
    assert (
        "| ours | 2000 | 2.000 | 2.000 to 2.000 | 10 | <= 1.9: missed |"
        in (tmp_path / "README.md").read_text()
    )


@pytest.mark.filterwarnings("ignore:.*has more numbers than it writes")
@pytest.mark.parametrize("layer_norm", [False, True])
def test_equations_written_down_are_the_genotypes(layer_norm: bool) -> None:
    from benchmarks.recurrent import Sizes, WrittenDown, make_hyper

    sizes = Sizes(inputs=3, units=5, small=4, z=2, batch=2, steps=6)
    torch.manual_seed(0)
    phenotype = make_hyper(sizes, layer_norm)
    with torch.no_grad():
        for parameter in phenotype.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    written = WrittenDown(sizes, layer_norm)
    written.take_over(phenotype)
    if layer_norm:
        for norms, cell in (
            (written.norms, phenotype.network.cells[0]),
            (written.small_norms, phenotype.genotype.writers[0].cell),
        ):
            norms[4].load_state_dict(cell.norm_cell.state_dict())
    x = torch.randn(2, 6, 3)
    torch.testing.assert_close(written.sequence(x)[0], phenotype.sequence(x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*has more numbers than it writes")
def test_recurrent_contestants_take_steps() -> None:
    from benchmarks.recurrent import Sizes, contestants, step_of

    sizes = Sizes(inputs=4, units=16, small=4, z=2, batch=2, steps=3)
    for network in contestants(sizes).values():
        before = [parameter.detach().clone() for parameter in network.parameters()]
        step_of(network, sizes)()
        assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))

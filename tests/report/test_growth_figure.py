"""The report's pictures of genotypes that grow: what was recorded is drawn, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from genophen_plugins.genotypes.node_graph import Individual, NodeGraph
from helpers import compiled, digits_tables

import genophen
from genophen.plugins.loading import load_plugins
from genophen.report.growth_figure import draw_growth
from genophen.report.page import PageOptions, write_report


def grown_tables(rounds: int = 3) -> dict[str, Any]:
    tables = digits_tables(rounds=rounds)
    tables["genotype"] = {"name": "cppn-graph", "cppn-graph": {"hidden_nodes": 4}}
    options = {"population_size": 8, "generations_per_round": 3, "ridge_images": 200, "readout": "ridge"}
    growing = {"node_add": 0.6, "connection_add": 0.6, "compatibility_threshold": 1.5}
    tables["optimizer"] = {"name": "neat", "neat": options | growing}
    return tables


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("neat")
    folder = tmp_path_factory.mktemp("grown") / "run"
    genophen.run(grown_tables(), out=folder)
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "growth.jsonl").read_text().splitlines()]


def page_of(folder: Path, target: Path) -> str:
    write_report([folder], target, load_plugins(), PageOptions(images=False), lambda note: None)
    return target.read_text()


def test_each_round_records_the_structure_that_was_measured(grown: Path) -> None:
    rows = rows_of(grown)
    metrics = [json.loads(line) for line in (grown / "metrics.jsonl").read_text().splitlines()]
    assert [row["round"] for row in rows] == [0, 1, 2, 3]
    for row, measured in zip(rows[1:], metrics[1:], strict=True):
        assert len(row["structure"]["nodes"]) == measured["nodes"] == len(row["weights"]["biases"])
        assert len(row["structure"]["connections"]) == measured["connections"]
    assert rows[0]["structure"] != rows[-1]["structure"]


def test_the_page_shows_graphs_kernels_and_species(grown: Path, tmp_path: Path) -> None:
    page = page_of(grown, tmp_path / "page.html")
    section = page.partition('<h2 id="growth">')[2].partition("</section>")[0]
    for row in rows_of(grown):
        nodes, links = 6 + len(row["structure"]["nodes"]), len(row["structure"]["connections"])
        assert f"Round {row['round']}: {nodes} nodes, {links} links" in section
    last = rows_of(grown)[-1]
    drawn = section.rpartition("<svg")[2]
    assert drawn.count("<circle") == 6 + len(last["structure"]["nodes"])
    assert drawn.count("line link c") == len(last["structure"]["connections"])
    weights = last["weights"]["weights"]
    assert drawn.count("line link c1") == sum(weight > 0 for weight in weights)
    assert section.count("data:image/png") == 4
    sources = re.findall(r'src="([^"]+)"', section)
    assert len(set(sources)) > 1  # the kernels are those of their rounds
    for title in ("Species", "Nodes of the best graph", "Connections of the best graph"):
        assert f"<h3>{title} against rounds</h3>" in page


def test_growth_is_restored_with_the_rest_of_a_run(grown: Path, tmp_path: Path) -> None:
    genophen.run(grown_tables(rounds=1), out=tmp_path / "part")
    with (tmp_path / "part" / "growth.jsonl").open("a") as file:
        file.write('{"round": 2}\n')  # of a process that was killed
    genophen.resume(tmp_path / "part", rounds=3)
    assert (tmp_path / "part" / "growth.jsonl").read_text() == (grown / "growth.jsonl").read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": {"weights": [1.0], "biases": []}}, "1 numbers of weights in round 3"),
        ({"structure": {"nodes": []}}, "a graph is a table of"),
        ({"weights": "many"}, "growth.jsonl"),
    ],
    ids=["weights", "structure", "table"],
)
def test_what_no_run_records_is_left_out_with_words(
    grown: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = Path(shutil.copytree(grown, tmp_path / "run"))
    *rows, last = rows_of(folder)
    text = "".join(f"{json.dumps(row)}\n" for row in [*rows, last | change])
    (folder / "growth.jsonl").write_text(text)
    page = page_of(folder, tmp_path / "page.html")
    assert 'id="growth"' not in page
    notice = page.partition("Left out")[2].partition("</p>")[0]
    assert "growth, since" in notice
    assert words in notice


def test_runs_that_grow_nothing_record_and_show_nothing(tmp_path: Path) -> None:
    genophen.run(digits_tables(rounds=1), out=tmp_path / "run")
    assert not (tmp_path / "run" / "growth.jsonl").exists()
    assert 'id="growth"' not in page_of(tmp_path / "run", tmp_path / "page.html")


def test_a_graph_is_drawn_by_level_with_the_names_of_its_nodes() -> None:
    genotype = compiled(genotype="cppn-graph", leo=True).genotype
    nodes = (("sin", "sum"), ("gauss", "mean"), ("identity", "sum"), ("tanh", "sum"))
    links = ((3, 6), (6, 7), (6, 8), (7, 8), (0, 9))
    genotype.become(Individual(NodeGraph(6, nodes, links, (8, 9)), torch.arange(5.0), torch.zeros(4)))
    drawing = genotype.drawing()
    assert drawing.nodes[:6] == [
        (name, 0) for name in ("layer", "output", "input", "row", "column", "distance")
    ]
    assert drawing.nodes[6:] == [
        ("sin", 1),
        ("gauss of mean", 2),
        ("weight: identity", 3),
        ("expressed: tanh", 3),
    ]
    assert drawing.links == [(*link, float(weight)) for weight, link in enumerate(links)]


def test_genotypes_that_draw_nothing_leave_no_picture(grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = load_plugins()
    assert draw_growth(grown, "mine", plugins) is not None
    monkeypatch.setattr(plugins.get("genotype", "cppn-graph").cls, "drawing", lambda self: None)
    assert draw_growth(grown, "mine", plugins) is None

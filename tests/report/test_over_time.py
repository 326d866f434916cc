"""What a report shows of recurrent networks: curves in the measure's own numbers, a text, states."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import digits_tables

import genophen
from genophen.config.config import resolve_config
from genophen.plugins.loading import load_plugins
from genophen.report.over_time import draw_states, first_sequence
from genophen.report.page import PageOptions, write_report
from genophen.training.experiment import assemble


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text("the quick brown fox. " * 60)
    for genotype in ("hyper-lstm", "direct"):
        genophen.run(
            {
                "task": {"name": "next-token", "next-token": {"steps": 16, "evaluation_lines": 2}},
                "dataset": {"name": "characters", "characters": {"file": str(folder / "text.txt")}},
                "architecture": {"name": "lstm", "lstm": {"hidden_size": 8}},
                "genotype": {"name": genotype, "hyper-lstm": {"hidden_size": 4}},
                "training": {"rounds": 2, "batch_size": 8},
            },
            out=folder / genotype,
        )
    genophen.run(waiting(), out=folder / "fast-weights")
    return folder


def waiting() -> dict[str, Any]:
    sizes = {"train_size": 80, "validation_size": 20, "test_size": 20, "longest_delay": 4}
    return {
        "task": {"name": "sequence-classification"},
        "dataset": {"name": "unknown-delay", "unknown-delay": sizes},
        "architecture": {"name": "fast-weight-network", "fast-weight-network": {"hidden_size": 6}},
        "genotype": {"name": "fast-weights", "fast-weights": {"slow_units": 3, "heads": 2}},
        "training": {"rounds": 1, "batch_size": 40},
    }


def page_of(run: Path, **options: Any) -> str:
    said: list[str] = []
    write_report([run], run / "page.html", load_plugins(), PageOptions(**options), said.append)
    return (run / "page.html").read_text(encoding="utf-8")


def test_a_text_task_has_a_sample_and_curves_in_bits_per_character(folder: Path) -> None:
    page = page_of(folder / "direct", images=False)
    sample = genophen.Run.load(folder / "direct").generate(temperature=0.8)
    assert f">{html.escape(sample, quote=False)}</pre>".replace("'", "&#39;") in page
    assert "<h3>Validation bits per character against rounds</h3>" in page
    assert 'id="states"' not in page  # its weights are the same at all times


def test_a_dynamic_hypernetwork_shows_its_zs_over_a_sentence_of_its_own(folder: Path) -> None:
    page = page_of(folder / "hyper-lstm", images=False)
    for part in ("scales of h", "scales of x", "biases"):
        assert f"<h3>cells.0: z of the {part}</h3>" in page
    run = genophen.Run.load(folder / "hyper-lstm")
    written = run.generate(length=59, temperature=0.8)
    below = re.findall(r'text-anchor="middle">(.)</text>', page)
    assert "".join(below[-60:])[1:].replace("·", " ") == written.replace("\n", " ")


def test_fast_weights_show_their_matrix_at_some_steps_of_a_test_sequence(folder: Path) -> None:
    page = page_of(folder / "fast-weights")
    assert page.count('alt="fast: weight after step') == 6
    assert "over the first sequence of the test" in page
    assert "after step 9<" in page  # twice the longest delay and the mark
    assert 'id="states"' not in page_of(folder / "fast-weights", images=False)  # it needs the data


def test_a_page_about_images_has_neither(tmp_path: Path) -> None:
    genophen.run(digits_tables(rounds=1), out=tmp_path / "run")
    page = page_of(tmp_path / "run", images=False)
    assert 'id="text"' not in page
    assert 'id="states"' not in page


def test_what_is_drawn_is_what_the_state_holds(folder: Path) -> None:
    phenotype = genophen.Run.load(folder / "fast-weights").phenotype()
    inputs = torch.randn(5, 4)
    state = None
    with torch.no_grad():
        for x in inputs.split(1):
            _, state = phenotype(x, state)
    (matrix,) = phenotype.genotype.pictured("fast", state[1]["fast"])["weight"]
    held = state[1]["fast"]["fast.weight"][0][0]
    assert torch.equal(matrix[:3, :3], held[0])
    assert torch.equal(matrix[3:, 3:], held[1])
    assert matrix[:3, 3:].abs().sum() == 0
    (drawn,) = draw_states(phenotype, inputs)
    assert [each.words for each in drawn.matrices][-1] == "after step 5"
    assert 0 < drawn.limit <= matrix.abs().max()


def test_the_first_sequence_is_the_tests_own_and_the_network_stays_as_it_was() -> None:
    plugins = load_plugins()
    config = resolve_config(waiting(), plugins, "of the test")
    experiment = assemble(config, plugins, lambda note: None)
    found = first_sequence(experiment)
    assert found is not None
    data = plugins.get("dataset", "unknown-delay").cls(config.dataset.options).load(Path())
    assert torch.equal(found, data.test.inputs[0])
    assert experiment.phenotype.sequence(found[None])[0].shape == (1, 9, 4)

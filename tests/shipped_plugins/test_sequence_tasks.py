"""Tasks over sequences: what they draw and measure, and runs that go on to the bit."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from genophen_plugins.architectures.cells import LSTMCell
from genophen_plugins.architectures.recurrent import RecurrentNetwork
from torch import nn
from torch.nn import functional as F

import genophen
from genophen.config.config import resolve_config
from genophen.plugins.loading import load_plugins
from genophen.testing import check_task
from genophen.training.experiment import assemble
from genophen.training.start import run_config

SENTENCE = "the quick brown fox jumps over the lazy dog. " * 40


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text(SENTENCE)
    return file


def reading(file: Path, **changes: Any) -> dict[str, Any]:
    return {
        "task": {"name": "next-token", "next-token": {"steps": 16, "evaluation_lines": 2}},
        "dataset": {"name": "characters", "characters": {"file": str(file)}},
        "architecture": {"name": "lstm", "lstm": {"hidden_size": 8}},
        "genotype": {"name": "hyper-lstm", "hyper-lstm": {"hidden_size": 4}},
        "optimizer": {"name": "adam", "adam": {"learning_rate": 0.01}},
        "training": {"rounds": 2, "batch_size": 20, "checkpoint_seconds": 1000.0},
    } | changes


def waiting(**changes: Any) -> dict[str, Any]:
    sizes = {"train_size": 120, "validation_size": 40, "test_size": 40, "longest_delay": 5}
    return {
        "task": {"name": "sequence-classification"},
        "dataset": {"name": "unknown-delay", "unknown-delay": sizes},
        "architecture": {"name": "fast-weight-network", "fast-weight-network": {"hidden_size": 8}},
        "genotype": {"name": "fast-weights"},
        "training": {"rounds": 2, "batch_size": 40, "checkpoint_seconds": 1000.0},
    } | changes


def assembled(tables: dict[str, Any]) -> Any:
    plugins = load_plugins()
    return assemble(resolve_config(tables, plugins, "of the test"), plugins, lambda note: None)


def test_lines_of_a_text_are_read_side_by_side_and_go_on(text: Path) -> None:
    task = assembled(reading(text)).task
    first, second = task.draw(), task.draw()
    assert (first.begins, second.begins) == (True, False)
    length = len(SENTENCE) - 2 * int(len(SENTENCE) * 0.05)
    line = length // 20
    for number, batch in enumerate((first, second)):
        read = "".join(task.symbols[i] for i in batch.inputs[3].argmax(1))
        told = "".join(task.symbols[i] for i in batch.targets[3])
        start = 3 * line + 16 * number
        assert (read, told) == (SENTENCE[start : start + 16], SENTENCE[start + 1 : start + 17])
    for _ in range(task.steps_per_round - 2):
        last = task.draw()
    assert task.draw().begins
    assert last.targets.shape[1] == (line - 1) % 16 or 16


def test_what_the_network_carries_goes_from_batch_to_batch(text: Path) -> None:
    experiment = assembled(reading(text))
    task, phenotype = experiment.task, experiment.phenotype
    batches = [task.draw(), task.draw()]
    losses = [task.loss(phenotype, batch).item() for batch in batches]
    whole = torch.cat([batch.inputs for batch in batches], 1)
    outputs = phenotype.sequence(whole)[0].split(16, 1)
    for loss, batch, logits in zip(losses, batches, outputs, strict=True):
        expected = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten()).item()
        assert loss == pytest.approx(expected, abs=1e-5)


def test_bits_per_character_are_of_every_symbol_but_the_first_of_each_line(text: Path) -> None:
    experiment = assembled(reading(text))
    scores = experiment.evaluate("validation")
    lines = experiment.task._lines["validation"]
    inputs = genophen.symbol_vectors(lines[:, :-1], experiment.task.num_outputs)
    with torch.no_grad():
        logits = experiment.phenotype.eval().sequence(inputs)[0]
    bits = F.cross_entropy(logits.flatten(0, 1), lines[:, 1:].flatten()).item() / math.log(2)
    assert scores.value == pytest.approx(-bits, abs=1e-5)


@pytest.mark.parametrize("genotype", ["direct", "hypernetwork", "hyper-lstm"])
def test_symbols_are_heard_from_the_start(text: Path, genotype: str) -> None:
    """What a symbol adds to a gate is about as large as what normalised numbers would add."""
    task = assembled(reading(text)).task
    x, count = task.draw().inputs, task.num_outputs
    assert x.square().mean().item() == pytest.approx(1)
    assert x.sum(2).unique().tolist() == [pytest.approx(math.sqrt(count))]

    torch.manual_seed(0)
    network = RecurrentNetwork([LSTMCell(count, 64)], count, dropout=0.0)
    phenotype = genophen.compile(network, ["cells.*.weight_*"], genotype)
    written = phenotype.genotype.express()
    by_symbol = written["cells.0.weight_ih"] * math.sqrt(count)  # (4 H, V): a column a symbol
    assert 0.7 < by_symbol.std() < 1.3


def test_characters_that_training_never_saw_are_one_symbol(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("ab" * 90 + "c" * 10 + "d" * 10)
    data = load_plugins().get("dataset", "characters").cls
    loaded = data(data.Options(file=file, validation_share=0.05, test_share=0.05)).load(tmp_path)
    assert loaded.symbols == ("a", "b", "\N{REPLACEMENT CHARACTER}", *()) or "c" in loaded.symbols
    assert int(loaded.test.max()) == len(loaded.symbols) - 1


def test_images_are_read_by_rows_and_by_pixels() -> None:
    for read, shape in (("rows", (8, 8)), ("pixels", (64, 1)), ("permuted-pixels", (64, 1))):
        tables = {
            "task": {"name": "sequence-classification", "sequence-classification": {"read": read}},
            "dataset": {"name": "digits"},
            "architecture": {"name": "gru"},
        }
        inputs, _ = assembled(tables).task.draw()
        assert tuple(inputs.shape[1:]) == shape


def test_a_pattern_is_marked_before_the_delay_and_asked_for_at_the_end() -> None:
    data = load_plugins().get("dataset", "unknown-delay").cls()
    loaded = data.load(Path())
    for split, longest in ((loaded.train, 30), (loaded.test, 60)):
        marks = split.inputs[:, :, 2]
        at = marks.argmax(1)
        assert torch.equal(marks.sum(1), torch.ones(len(split)))
        assert split.inputs.shape[1] == longest + 1
        assert sorted({longest - int(i) for i in at}) == list(range(1, longest + 1))
        pattern = split.inputs[torch.arange(len(split)), at, :2]  # -1 and 1
        assert torch.equal((pattern[:, 0] + 1) + (pattern[:, 1] + 1) / 2, split.labels.float())
        assert bool((split.inputs[:, -1, 3] == 1).all())


def test_a_query_has_the_digit_behind_its_letter() -> None:
    data = load_plugins().get("dataset", "associative-retrieval").cls
    loaded = data(data.Options(train_size=50, validation_size=5, test_size=5)).load(Path())
    for sequence, label in zip(loaded.train.inputs, loaded.train.labels, strict=True):
        read = "".join(loaded.symbols[i] for i in sequence)
        assert read[8:10] == "??"
        assert read[read.index(read[10]) + 1] == str(int(label))


class Interrupting(genophen.Reporter):
    name = "interrupting"
    description = "for a test"

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def start(self, info: genophen.RunInfo) -> None:
        pass

    def step(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGINT)

    def round(self, row: Any, seconds: float) -> None:
        self.step()

    def end(self, result: Any) -> None:
        pass


def trained(tables: dict[str, Any], out: Path, *reporters: genophen.Reporter) -> dict[str, Any]:
    plugins = load_plugins()
    return run_config(resolve_config(tables, plugins, "of the test"), plugins, "x", out, reporters)[1]


@pytest.mark.parametrize("moment", [1, 2, 4, 6, 7, 8])
def test_interrupted_runs_go_on_to_the_bit(moment: int, text: Path, tmp_path: Path) -> None:
    for name, tables in (("read", reading(text)), ("wait", waiting())):
        whole, parts = tmp_path / f"{name}-whole", tmp_path / f"{name}-parts"
        expected = trained(tables, whole)
        result = trained(tables, parts, Interrupting(moment))
        if result["status"] == "interrupted":
            result = dict(genophen.resume(parts).result)
        assert result["test_score"] == expected["test_score"]
        assert (parts / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_evolution_needs_no_backward_pass(tmp_path: Path) -> None:
    settings = {"population_size": 6, "generations_per_round": 2}
    result = trained(waiting(optimizer={"name": "snes", "snes": settings}), tmp_path / "run")
    assert result["status"] == "completed"
    assert result["backward_samples"] == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["sample_evaluations"] == 2 * 2 * 6 * 40


def test_a_task_refuses_data_that_are_not_its_own(text: Path) -> None:
    with pytest.raises(genophen.ConfigError, match="it is no text"):
        assembled(reading(text, dataset={"name": "digits"}))
    with pytest.raises(genophen.ConfigError, match="no labelled images"):
        assembled(reading(text, task={"name": "classification"}))
    with pytest.raises(genophen.ConfigError, match="no labels"):
        assembled(reading(text, task={"name": "sequence-classification"}))


@pytest.mark.parametrize("name", ["next-token", "sequence-classification"])
def test_they_keep_the_contract_of_tasks(name: str) -> None:
    check_task(load_plugins().get("task", name).cls)


def test_a_network_that_is_not_recurrent_is_refused_before_any_work() -> None:
    with pytest.raises(genophen.ConfigError, match="carries nothing to the next"):
        assembled(waiting(architecture={"name": "mlp"}, genotype={"name": "direct"}))


def test_a_network_that_carries_no_state_is_refused_in_words() -> None:
    with pytest.raises(genophen.ConfigError, match="a recurrent network"):
        genophen.compile(nn.Sequential(nn.Linear(4, 4)), ["0.weight"], "fast-weights")

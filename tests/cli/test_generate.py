"""`genophen generate`: texts from a run, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Output
from helpers import digits_tables

import genophen
from genophen.config.config import resolve_config
from genophen.plugins.loading import load_plugins
from genophen.training.generating import generated
from genophen.training.start import run_config


def run_of(tables: dict[str, Any], out: Path) -> None:
    plugins = load_plugins()
    run_config(resolve_config(tables, plugins, "of the test"), plugins, "x", out, ())


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt a text of three letters in turn by heart."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "text.txt").write_text("ab\n" * 2000)
    run_of(
        {
            "task": {"name": "next-token", "next-token": {"steps": 16, "evaluation_lines": 2}},
            "dataset": {"name": "characters", "characters": {"file": str(folder / "text.txt")}},
            "architecture": {"name": "lstm", "lstm": {"hidden_size": 8}},
            "genotype": {"name": "hyper-lstm", "hyper-lstm": {"hidden_size": 4}},
            "optimizer": {"name": "adam", "adam": {"learning_rate": 0.05}},
            "training": {"rounds": 3, "batch_size": 8},
        },
        folder / "run",
    )
    (folder / "text.txt").unlink()  # it is not needed
    return folder / "run"


@pytest.fixture
def command(command: Callable[..., Output]) -> Callable[..., Output]:
    return partial(command, "generate")


def test_the_likeliest_text_goes_on_as_the_text_that_was_read(command, reader: Path) -> None:
    code, out, _ = command(reader, "--prompt", "ab\nab", "--length", 7, "--temperature", 0)
    assert (code, out) == (0, "ab\nab\nab\nab\n\n")


def test_a_text_depends_on_its_seed_alone_and_json_tells_all(command, reader: Path) -> None:
    options = (reader, "--prompt", "a", "--length", 60, "--temperature", 30)
    _, out, _ = command(*options, "--seed", 1)
    answer = json.loads(command(*options, "--seed", 1, "--json")[1])
    assert out == "a" + answer.pop("text") + "\n"
    assert answer == {"prompt": "a", "temperature": 30, "seed": 1, "round": answer["round"]}
    assert command(*options, "--seed", 2)[1] != out
    run = genophen.Run.load(reader)
    assert out == f"a{run.generate('a', length=60, temperature=30, seed=1)}\n"
    assert run.generate(length=2, temperature=0) == "ab"  # after a new line


def test_draws_follow_the_networks_probabilities(reader: Path) -> None:
    phenotype, temperature = genophen.Run.load(reader).phenotype(), 20.0
    with torch.no_grad():
        logits = phenotype.sequence(torch.eye(3)[None, 1:2])[0][0, -1]
    expected = (logits / temperature).softmax(0)
    drawn = [next(generated(phenotype, "\nab", "a", 1, temperature, seed)) for seed in range(300)]
    for symbol, share in zip("\nab", expected, strict=True):
        assert drawn.count(symbol) / 300 == pytest.approx(float(share), abs=0.09)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prompt", "a\xe9\u20ac"], "found:   '\xe9', '\u20ac'\n  allowed: one and more of '\\n' 'a' 'b'"),
        (["--prompt", ""], "found:   no character"),
        (["--temperature", "nan"], "nan is no temperature"),
        (["--temperature", "-1"], "is not in the range"),
        (["--length", "0"], "is not in the range"),
        (["--seed", str(2**63)], "is not in the range"),
    ],
)
def test_what_cannot_be_used_is_refused(command, reader: Path, options: list[str], words: str) -> None:
    code, out, err = command(reader, *options)
    assert (code, out) == (2, "")
    assert words in err


def test_a_run_of_another_task_is_refused(command, tmp_path: Path) -> None:
    run_of(digits_tables(rounds=1), tmp_path / "digits")
    code, out, err = command(tmp_path / "digits")
    assert (code, out) == (2, "")
    assert "found:   a run of the task classification\n  allowed: a task whose networks tell" in err
    assert command(tmp_path)[0] == 2  # no run at all


def test_symbols_that_were_not_recorded_are_read_from_the_data(command, reader: Path) -> None:
    file = reader / "environment.json"
    recorded = json.loads(file.read_text())
    assert recorded["task"].pop("symbols") == ["\n", "a", "b"]
    before = file.read_bytes()
    file.write_text(json.dumps(recorded))
    code, _, err = command(reader)
    assert code == 1
    assert "cannot read the text" in err
    (reader.parent / "text.txt").write_text("ab\n" * 2000)
    assert command(reader, "--length", 1, "--temperature", 0)[:2] == (0, "\na\n")
    (reader.parent / "text.txt").unlink()
    file.write_bytes(before)


def test_symbols_that_are_none_are_damage(command, reader: Path) -> None:
    file = reader / "environment.json"
    before = file.read_bytes()
    for symbols in ([1, 2, 3], ["a"], "ab\n", {"a": 1}):
        recorded = json.loads(before)
        recorded["task"]["symbols"] = symbols
        file.write_text(json.dumps(recorded))
        code, out, err = command(reader)
        assert (code, out) == (4, ""), symbols
        assert "symbols" in err
    file.write_bytes(before)


def test_it_ends_when_nobody_reads_on(reader: Path) -> None:
    code = [sys.executable, "-m", "genophen", "generate", str(reader), "--length", str(10**9)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        assert started.stdout.read(3) == "\nab"  # as it comes
        started.stdout.close()
        assert "cannot write the output" in started.stderr.read()
        assert started.wait(30) == 1

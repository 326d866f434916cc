"""A sweep's table of evaluations: those that never solve count with all that they had."""

from __future__ import annotations

from pathlib import Path

from conftest import ROOT

import genophen
from genophen.contracts.measure import Measure
from genophen.plugins.loading import load_plugins
from genophen.sweep.evaluations import as_table, of_trials
from genophen.sweep.file import read_sweep
from genophen.sweep.tabulated import Sitting, run_to_table


def record(episodes: int, solved: bool, score: float) -> dict[str, object]:
    return {
        "episodes": episodes,
        "test_episodes": 626,
        "stop_reason": "solved" if solved else None,
        "test_score": score,
        "parameters": {"searched": 12},
    }


def test_by_hand() -> None:
    found = of_trials([record(100, True, 250), record(300, True, 210), record(5000, False, 20)])
    assert (found["solved"], found["evaluations_mean"], found["evaluations_median"]) == (2 / 3, 1800, 300)
    assert (found["evaluations_max"], found["evaluations_with_tests_mean"], found["genes"]) == (
        5000,
        2426,
        12,
    )
    assert found["generalisation_mean"] == 160
    row = as_table([{"model": "a | b", "seeds": [1, 2, 3], **found}]).splitlines()[2]
    assert row == "| a \\| b | 2 of 3 | 12 | 1,800 | 2,773 | 300 | 5,000 | 2,426 | 160 |"
    assert of_trials([{"test_score": 1.0}]) == of_trials([]) == {}
    assert as_table([{"model": "images"}]) == ""


def test_a_sweep_has_it(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(
        f'base = "{ROOT / "examples" / "double_pole.toml"}"\nseeds = [1, 2]\n[rows.small]\n'
        "training.rounds = 1\noptimizer.cma-es.generations_per_round = 1\n"
    )
    plugins = load_plugins()
    executor = plugins.executor("local", 1, None)
    done = run_to_table(read_sweep(file), tmp_path / "out", plugins, executor, Sitting())
    (line,) = done.lines
    assert (line["genes"], line["solved"], line["evaluations_mean"]) == (21, 0, 13)
    assert Measure.of(line).title == "starts balanced"
    assert "| small | 0 of 2 | 21 | 13 |" in (tmp_path / "out" / "table.md").read_text()
    assert genophen.Run.load(tmp_path / "out" / "trials" / "small-seed1")["episodes"] == 13

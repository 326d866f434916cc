"""Run directories of before there were tasks are read and continued; the same runs of today are equal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from hostile import ask
from safetensors.torch import load_file

import genophen

#: Two rounds of a small network on the digits, as genophen wrote them when it knew classification alone.
RECORDED = ROOT / "tests" / "recorded"
SMALL = RECORDED / "small.py"
PLUGIN = ("--plugin", SMALL)


@pytest.fixture(params=["adam", "cma-es"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDED / request.param, tmp_path / request.param))


def check_rows(then: Path, now: Path) -> None:
    """What the older run's records say, today's say, to the rounding of another machine."""
    old, new = (
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (then, now)
    )
    assert len(old) == len(new) > 0
    for before, after in zip(old, new, strict=True):
        for key, value in before.items():
            assert after[key] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), key


def test_it_has_the_numbers_of_a_run_of_today_also_when_both_are_resumed(older: Path, tmp_path: Path) -> None:
    today = genophen.run(older / "config.toml", plugin_files=[SMALL], out=tmp_path / "today").directory
    check_rows(older, today)
    before, now = (load_file(next((run / "best").glob("*.safetensors"))) for run in (older, today))
    torch.testing.assert_close(now, before, rtol=1e-4, atol=1e-6)
    ends = [genophen.resume(run, rounds=3, plugin_files=[SMALL]) for run in (older, today)]
    check_rows(older, today)
    assert ends[0]["test_score"] == ends[0]["test_accuracy"] == ends[1]["test_score"]


def test_settings_that_it_does_not_know_count_where_they_are_not_at_their_default(older: Path) -> None:
    config = (older / "config.toml").read_text()
    (older / "config.toml").write_text(config.replace("[training]", '[training]\nkeep = "last"'))
    with pytest.raises(genophen.ConfigError, match=r"training\.keep: None there, 'last' now"):
        genophen.resume(older, rounds=3, plugin_files=[SMALL])


def test_it_is_opened_evaluated_and_exported(older: Path, tmp_path: Path) -> None:
    run = genophen.Run.load(older, plugin_files=[SMALL])
    accuracy = json.loads((older / "result.json").read_text())["test_accuracy"]
    assert run["test_score"] == run["test_accuracy"] == accuracy
    assert run.evaluate().value == accuracy
    measured = json.loads(ask("evaluate", older, "--json", *PLUGIN).out)
    assert (measured["measure"], measured["score"], measured["accuracy"]) == ("accuracy", accuracy, accuracy)
    answer = ask("export", older, "--format", "torch", "--out", tmp_path / "model.pt", *PLUGIN)
    assert (answer.code, (tmp_path / "model.pt").is_file()) == (0, True), answer


def test_they_are_compared_and_reported(tmp_path: Path) -> None:
    runs = [shutil.copytree(RECORDED / name, tmp_path / name) for name in ("adam", "cma-es")]
    answer = ask("compare", *runs, "--out", tmp_path / "comparison", "--json", *PLUGIN)
    assert answer.code == 0, answer
    groups = json.loads(answer.out)["groups"]
    assert {group["name"]: group["test_score_mean"] for group in groups} == {"adam": 0.1425, "cma-es": 0.0875}
    page = tmp_path / "report.html"
    assert ask("report", *runs, "--out", page, *PLUGIN).code == 0
    assert "<dd>14.25%</dd>" in page.read_text()

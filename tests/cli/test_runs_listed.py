"""`genophen runs`, and what takes the last ones."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import digits_tables

import genophen
from genophen.cli.runs import _age
from genophen.config.toml import write_toml
from genophen.storage.found import find_runs


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_age(run: Path, seconds: float) -> None:
    now = (run / "config.toml").stat().st_mtime
    for file in ("config.toml", "metrics.jsonl", "result.json"):
        if (run / file).exists():
            os.utime(run / file, (now - seconds, now - seconds))


def test_runs_are_listed_newest_first(command, place: Path) -> None:
    assert command("runs")[:2] == (0, "")
    assert command("runs", "--json")[1] == "[]\n"
    tables = digits_tables(rounds=1)
    old = genophen.run(tables, out="runs/old")
    genophen.run(tables, overrides=["genotype.name='cppn'", "training.seed=3"], out="runs/mine/new")
    set_age(Path("runs/old"), 7300)
    (place / "runs" / "mine" / "new" / "result.json").unlink()  # as if it were killed
    sweep = {"rows": {"a": {}, "b": {"seeds": [0, 1]}}, "config": tables}
    Path("s.toml").write_text(write_toml(sweep), encoding="utf-8")
    command("sweep", "s.toml", "--out", "runs/s", "--only", "a")
    code, out, err = command("runs")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert [line.split()[-1] for line in lines] == ["runs/s", "runs/mine/new", "runs/old"]
    assert lines[0].startswith("1 of 3 done ")
    assert "sweep: mnist-cnn by hypernetwork, adam on digits" in lines[0]
    assert lines[1].startswith("unfinished   validation ")
    assert "mnist-cnn by cppn, adam on digits, round 1" in lines[1]
    assert f"completed    test {old['test_accuracy']:.2%}" in lines[2]
    assert "  2 h  mnist-cnn by hypernetwork, adam on digits, seed 0  " in lines[2]
    code, out, err = command("runs", "--last", "1")
    assert out.split()[-1] == "runs/s"
    assert err == "and 2 older ones\n"
    (found, _, _) = json.loads(command("runs", "--json")[1])
    assert found["directory"] == "runs/s"
    assert found["is_sweep"] is True
    assert json.loads(command("runs", "runs/old", "--json")[1])[0]["test_score"] == old["test_accuracy"]


def test_a_run_that_goes_on_and_one_that_is_damaged(place: Path) -> None:
    genophen.run(digits_tables(rounds=1), out="runs/one")
    with Path("runs/one/.lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert [(each.status, each.rounds) for each in find_runs(Path("runs"))] == [("running", 1)]
    Path("runs/one/result.json").write_text("{}", encoding="utf-8")
    (found,) = find_runs(Path("runs"))
    assert found.status == "unreadable"
    assert "is missing" in found.note


def test_report_and_compare_take_the_last_ones(command, place: Path) -> None:
    code, _, err = command("report", "--last", "2")
    assert code == 2
    assert "no runs there" in err
    assert command("compare", "--no-bootstrap")[0] == 2
    for name, genotype in (("a", "hypernetwork"), ("b", "cppn"), ("c", "direct")):
        genophen.run(digits_tables(rounds=1), overrides=[f"genotype.name='{genotype}'"], out=f"runs/{name}")
    set_age(Path("runs/a"), 60)
    set_age(Path("runs/c"), 20)
    code, out, _ = command("report", "--last", "2", "--no-images")
    assert (code, out) == (0, "runs/b/report.html\n")
    page = Path("runs/b/report.html").read_text(encoding="utf-8")
    assert "runs/c" in page
    assert "runs/a" not in page
    code, out, _ = command("compare", "--last", "2", "--no-bootstrap", "--json")
    assert [group["name"] for group in json.loads(out)["groups"]] == ["cppn", "ConvModel"]


def test_ages_are_told_in_the_largest_unit() -> None:
    ages = [_age(seconds) for seconds in (-5, 0.2, 59, 61, 3599, 7300, 86_400 * 9.9)]
    assert ages == ["0 s", "0 s", "59 s", "1 min", "59 min", "2 h", "9 d"]


def test_listing_imports_no_torch(place: Path) -> None:
    code = (
        "import sys\nfrom genophen.cli import main\ntry:\n    main(['runs'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

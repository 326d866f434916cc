"""Sweeps before and while they run: the dry run, how far they are, and what a file's mistakes are called."""

from __future__ import annotations

import io
import json
import re
import sys
import time
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT
from helpers import digits_tables

from genophen.cli import sweep_live
from genophen.config.toml import write_toml
from genophen.errors import ConfigError, duration
from genophen.plugins.loading import load_plugins
from genophen.sweep.file import read_sweep
from genophen.sweep.going import Watch
from genophen.sweep.sweep import plan, run_trial


def written(folder: Path, **tables: object) -> Path:
    file = folder / "s.toml"
    file.write_text(write_toml({"config": digits_tables(rounds=2), **tables}), encoding="utf-8")
    return file


def test_a_dry_run_lists_rows_and_writes_nothing(command, tmp_path: Path) -> None:
    evolved = {"optimizer": {"name": "cma-es"}, "seeds": [3]}
    file = written(tmp_path, seeds=[0, 1], rows={"plain": {}, "evolved": evolved})
    code, out, err = command("sweep", file, "--dry-run")
    assert (code, err) == (0, "")
    head, plain, evolved_line, _, end = out.splitlines()
    assert head.split()[:4] == ["Model", "Seeds", "Done", "Rounds"]
    assert plain.split() == ["plain", "0,", "1", "2", "4,244", "12,894", "12,894"]
    assert evolved_line.split() == ["evolved", "3", "2", "4,244", "4,244", "12,894"]
    assert end.startswith("3 trials, 3 to run. Nothing was trained or written")
    assert not [path for path in tmp_path.iterdir() if path.name not in ("cache", file.name)]
    command("sweep", file, "--out", tmp_path / "out", "--only", "plain", "--seed", "0", "--quiet")
    lines = json.loads(command("sweep", file, "--out", tmp_path / "out", "--dry-run", "--json")[1])
    assert [(line["model"], line["done"]) for line in lines] == [("plain", [0]), ("evolved", [])]


def test_a_dry_run_says_what_is_wrong_with_every_row(command, tmp_path: Path) -> None:
    cppn = {"genotype": {"name": "cppn"}, "optimizer": {"name": "snes", "snes": {"genes": "embeddings"}}}
    warm = {"optimizer": {"adam": {"warm_start": "/nowhere"}}}
    file = written(tmp_path, rows={"good": {}, "no-genes": cppn, "cold": warm})
    code, out, err = command("sweep", file, "--dry-run")
    assert (code, out) == (2, "")
    assert "no-genes: cannot select the genes 'embeddings'" in err
    assert "cold: cannot open the run directory /nowhere" in err
    code, _, err = command("sweep", file)
    assert code == 2
    assert "--dry-run needs none" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dataset]\nname = 'digits'\n[grid]\n", "it belongs under [config]: [config.dataset]"),
        ("[base]\ndataset.name = 'digits'\n[rows.a]\n", "tables of the base config stand under [config]"),
        ("seed = [1]\n[rows.a]\n", "did you mean seeds?"),
    ],
)
def test_what_is_in_the_wrong_place_is_told_where_it_belongs(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_sweep(file)
    assert said in str(caught.value)


def test_how_far_trials_are_is_read_from_what_they_write(tmp_path: Path) -> None:
    file, plugins = written(tmp_path, seeds=[0, 1, 2], rows={"a": {}}), load_plugins()
    trials = plan(read_sweep(file), tmp_path / "out", plugins)
    run_trial(trials[0].config.to_toml(), str(trials[0].directory), [])
    watch = Watch(trials, jobs=1)
    assert watch.look().text == "1 done, 0 running, 2 waiting"
    run_trial(trials[1].config.to_toml(), str(trials[1].directory), [])
    result = (trials[1].directory / "result.json").read_bytes()
    (trials[1].directory / "result.json").unlink()  # as before its end
    (trial,) = watch.look().running
    assert (trial.name, trial.round, trial.rounds) == ("a-seed1", 2, 2)
    assert re.fullmatch(r"\d\d\.\d\d%", trial.validation)
    assert trial.seconds_left == 0
    (trials[1].directory / "result.json").write_bytes(result)
    standing = watch.look()
    assert (standing.done, len(standing.running), standing.waiting) == (2, 0, 1)
    assert standing.seconds_left == pytest.approx(json.loads(result)["wall_seconds"])


def test_durations_are_told_to_two_places() -> None:
    told = [duration(seconds) for seconds in (0.4, 59.4, 61, 3599, 3600, 7380)]
    assert told == ["0 s", "59 s", "1 min", "1 h 00 min", "1 h 00 min", "2 h 03 min"]


def test_without_a_terminal_a_sweep_says_now_and_then_how_far_it_is(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_live, "INTERVAL", 0.05)
    file = written(tmp_path, rows={"a": {}})
    _, _, err = command("sweep", file, "--out", tmp_path / "out")
    assert "  0 done, 1 running, 0 waiting\n    a-seed0: round 0 of 2" in err
    assert re.search(r"a-seed0: round [12] of 2, best validation \d\d\.\d\d%\n", err)
    _, _, err = command("sweep", file, "--out", tmp_path / "other", "--quiet")
    assert " running" not in err


def test_on_a_terminal_a_table_shows_the_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    trials = plan(read_sweep(written(tmp_path, rows={"a": {}})), tmp_path / "out", load_plugins())
    display = sweep_live.SweepDisplay(jobs=1)
    with display.shown(trials):
        run_trial(trials[0].config.to_toml(), str(trials[0].directory), [])
        (trials[0].directory / "result.json").unlink()
        time.sleep(1.5)
        display.say("a line [above]")
    shown = re.sub(r"\x1b\[[\d?]*[A-Za-z]", "", stream.getvalue())
    assert re.search(r"Trial +Round +Best validation +Left", shown)
    assert re.search(r"a-seed0 +2 of 2 +\d\d\.\d\d% +0 s", shown)
    assert "a line [above]\n" in shown.replace("\r", "")


def test_the_sweep_files_of_the_page_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    blocks = [tomllib.loads(block) for block in re.findall(r"^```toml\n(.*?)^```$", page, re.S | re.M)]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    names = []
    for number, tables in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        base = {} if "base" in tables else {"base": "examples/digits.toml"}
        file.write_text(write_toml({**base, **tables}), encoding="utf-8")
        rows = read_sweep(file)
        plan(rows, tmp_path / "out", load_plugins())
        names.append([row.name for row in rows.rows])
    assert names[0] == ["Hyper4_4", "cppn"]
    assert "embedding_dim=2, learning_rate=0.003" in names[2]
    assert len(names[2]) == 6

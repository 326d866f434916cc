"""Environments that misbehave, each named in one error; what was reached before is there to go on from."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Output

import genophen
from genophen.config.toml import write_toml

pytest.importorskip("gymnasium")

from genophen_plugins.tasks.time_limit import OverdueError, TimeLimit

FAULTS = {
    "raise": "raised ValueError: the wheel came off",
    "exit": "raised SystemExit: 3",
    "hang": "took more than 0.3 s",
    "spin": "took more than 0.3 s",
    "nan": "gave an observation that is not finite: nan, nan",
    "reward": "gave a reward that is inf",
    "shape": "gave an observation of shape (1,), not (2,)",
    "words": "gave an observation that is no vector: 'left'",
    "short": "raised ValueError: not enough values to unpack (expected 5, got 2)",
}


def config_file(folder: Path, fault: str, **search: Any) -> Path:
    environment = {"fault": fault, "switch": str(folder / "broken")}
    settings = {"environment": "environments:Walk-v0", "arguments": environment, "normalize": True}
    settings |= {"evaluation_episodes": 3, "step_seconds": 0.3}
    sizes = {"population_size": 4, "generations_per_round": 2}
    tables = {
        "task": {"name": "gymnasium", "gymnasium": settings},
        "architecture": {"name": "mlp", "mlp": {"hidden": [3]}},
        "genotype": {"name": "direct"},
        "optimizer": {"name": "snes", "snes": sizes | search},
        "training": {"rounds": 3, "checkpoint_seconds": 0.0},
    }
    file = folder / "config.toml"
    file.write_text(write_toml(tables))
    return file


#: The others take the same ways.
QUICK = ("raise", "hang", "shape")


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FAULTS]
)
def test_a_fault_is_named_and_the_run_goes_on_once_it_is_mended(
    fault: str, tmp_path: Path, command: Any
) -> None:
    config, out, switch = config_file(tmp_path, fault), tmp_path / "run", tmp_path / "broken"
    whole = genophen.run(str(config), out=tmp_path / "whole")
    genophen.run(str(config), out=out, overrides=["training.rounds=1"])
    checkpoint = sorted(path.name for path in (out / "checkpoints").iterdir())
    switch.touch()
    found: Output = command("resume", out, "--rounds", 3)
    assert found.code == 5, found
    (line,) = (line for line in found.err.splitlines() if line.startswith("  found:"))
    assert f"step 3 of the episode with seed {line.split('seed ')[1].split()[0]} {FAULTS[fault]}" in line
    assert "cannot go on in the environment environments:Walk-v0" in found.err
    assert "genophen resume" in found.err
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == checkpoint
    switch.unlink()
    assert command("resume", out).code == 0
    assert (out / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert genophen.Run.load(out)["test_score"] == whole["test_score"]


@pytest.mark.parametrize("fault", ["nan", "hang"])
def test_a_fault_before_the_first_step_leaves_no_folder(fault: str, tmp_path: Path, command: Any) -> None:
    config = config_file(tmp_path, fault)
    (tmp_path / "broken").touch()
    found: Output = command("run", config, "--out", tmp_path / "run")
    assert found.code == 5
    assert FAULTS[fault] in found.err
    assert not (tmp_path / "run").exists()


def test_what_is_printed_is_left_out_and_told_once(tmp_path: Path, command: Any) -> None:
    (tmp_path / "broken").touch()
    found: Output = command("run", config_file(tmp_path, "print"), "--out", tmp_path / "run", "--json")
    assert found.code == 0
    assert json.loads(found.out)["rounds"] == 3
    told = "the environment environments:Walk-v0 prints, which is left out: 'a message'"
    assert found.err.count("a message") == found.err.count(told) == 1
    assert "another one" not in found.err


def test_the_time_limit_is_each_calls_own() -> None:
    limit = TimeLimit(0.2)
    with limit:
        for _ in range(3):
            limit.began = time.monotonic()
            time.sleep(0.1)
            limit.began = None
        time.sleep(0.3)  # what is not marked may take as long as it likes
        limit.began = time.monotonic()
        with pytest.raises(OverdueError):
            time.sleep(5)
    time.sleep(0.3)  # no timer is left


def test_there_is_no_time_limit_in_other_threads() -> None:
    ended = []

    def run() -> None:
        limit = TimeLimit(0.05)
        with limit:
            limit.began = time.monotonic()
            time.sleep(0.2)
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended == [True]

"""Runs of control, killed in the middle of their episodes: they go on to the same bits, with Ray, too."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from noisy_runs import leaves
from test_crashes import killed_and_resumed, sitting

from genophen.config.toml import write_toml

pytest.importorskip("gymnasium")

#: Seconds that Ray's start may take on a machine that does much else.
PATIENCE = 600


def config_file(folder: Path, workers: int, rounds: int) -> Path:
    """Nearly all of the time goes by in episodes, each of whose steps takes two thousandths of a second."""
    world = {"environment": "environments:Walk-v0", "arguments": {"pause": 0.002}, "normalize": True}
    search = {"population_size": 6, "generations_per_round": 3, "num_workers": workers, "genes": "all"}
    tables: dict[str, Any] = {
        "task": {"name": "gymnasium", "gymnasium": world | {"episodes": 2, "evaluation_episodes": 4}},
        "architecture": {"name": "elman", "elman": {"hidden": 3}},
        "genotype": {"name": "direct"},
        "optimizer": {"name": "cma-es", "cma-es": search},
        "training": {"rounds": rounds, "checkpoint_seconds": 0.0},
    }
    file = folder / f"config-{workers}.toml"
    file.write_text(write_toml(tables))
    return file


@pytest.mark.slow
def test_ten_kills_in_the_middle_of_episodes_change_no_bit(tmp_path: Path) -> None:
    killed_and_resumed(config_file(tmp_path, 0, 4), tmp_path, kills=10)


@pytest.mark.slow
def test_nor_do_ten_kills_with_ray_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each comes soon after the first generation that a sitting has saved: Ray takes long to start."""
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))  # where Ray's processes find the environment
    config, out, draws = config_file(tmp_path, 2, 8), tmp_path / "killed", random.Random(0)
    for _ in range(10):
        process, before = sitting(config, out), saved(out)
        until = time.monotonic() + PATIENCE
        while saved(out) == before and process.exitcode is None and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(draws.uniform(0, 0.3))
        assert process.exitcode is None
        process.kill()
        process.join()
    process = sitting(config, out)
    process.join(PATIENCE)
    assert process.exitcode == 0
    whole = sitting(config_file(tmp_path, 0, 8), tmp_path / "whole")  # which workers do it changes nothing
    whole.join(PATIENCE)
    assert whole.exitcode == 0
    found, expected = leaves(out), leaves(tmp_path / "whole")
    assert [found[each] for each in ("metrics", "best")] == [expected[each] for each in ("metrics", "best")]


def saved(out: Path) -> list[str]:
    """Names of the checkpoints that are there."""
    return sorted(path.name for path in (out / "checkpoints").glob("round-*"))

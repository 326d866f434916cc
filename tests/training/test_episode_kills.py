"""Runs of control, killed in the middle of their episodes: they go on to the same bits, with Ray, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from test_crashes import killed_and_resumed

from genophen.config.toml import write_toml

pytest.importorskip("gymnasium")


def tables(workers: int) -> dict[str, Any]:
    world = {"environment": "environments:Walk-v0", "arguments": {"pause": 0.002}, "normalize": True}
    search = {"population_size": 6, "generations_per_round": 3, "num_workers": workers, "genes": "all"}
    return {
        "task": {"name": "gymnasium", "gymnasium": world | {"episodes": 2, "evaluation_episodes": 4}},
        "architecture": {"name": "elman", "elman": {"hidden": 3}},
        "genotype": {"name": "direct"},
        "optimizer": {"name": "cma-es", "cma-es": search},
        "training": {"rounds": 4, "checkpoint_seconds": 0.0},
    }


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_ten_kills_in_the_middle_of_episodes_change_no_bit(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly all of the time goes by in episodes, each of whose steps takes two thousandths of a second."""
    if workers:
        pytest.importorskip("ray")
        monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))  # where Ray's processes find the environment
    config = tmp_path / "config.toml"
    config.write_text(write_toml(tables(workers)))
    killed_and_resumed(config, tmp_path, kills=10)

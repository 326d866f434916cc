"""Runs over sequences, killed at random moments: what is carried from batch to batch goes on to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_crashes import killed_and_resumed

from genophen.config.toml import write_toml

TRAINING = {"rounds": 2, "batch_size": 40, "checkpoint_seconds": 0.0}


def reading(text: Path) -> dict[str, Any]:
    text.write_text("the quick brown fox jumps over the lazy dog. " * 200)
    return {
        "task": {"name": "next-token", "next-token": {"steps": 16, "evaluation_lines": 4}},
        "dataset": {"name": "characters", "characters": {"file": str(text)}},
        "architecture": {"name": "lstm", "lstm": {"hidden_size": 8, "layer_norm": True}},
        "genotype": {"name": "hyper-lstm", "hyper-lstm": {"hidden_size": 4}},
    }


def evolving() -> dict[str, Any]:
    sizes = {"train_size": 400, "validation_size": 40, "test_size": 40}
    settings = {"population_size": 6, "generations_per_round": 4}
    return {
        "task": {"name": "sequence-classification"},
        "dataset": {"name": "unknown-delay", "unknown-delay": sizes | {"longest_delay": 5}},
        "architecture": {"name": "fast-weight-network", "fast-weight-network": {"hidden_size": 8}},
        "genotype": {"name": "fast-weights"},
        "optimizer": {"name": "snes", "snes": settings},
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", ["next-token", "sequence-classification"])
def test_ten_kills_at_random_moments_change_no_bit(task: str, tmp_path: Path) -> None:
    tables = reading(tmp_path / "text.txt") if task == "next-token" else evolving()
    config = tmp_path / "config.toml"
    config.write_text(write_toml(tables | {"training": dict(TRAINING)}))
    killed_and_resumed(config, tmp_path, kills=10)

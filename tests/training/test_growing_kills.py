"""Runs of the optimizer neat that are killed while their species change: they go on to the same bits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import digits_tables
from test_crashes import killed_and_resumed

from genophen.config.toml import write_toml

pytest.importorskip("neat")


@pytest.mark.slow
def test_a_growing_run_killed_at_ten_random_moments_ends_the_same(tmp_path: Path) -> None:
    tables = digits_tables(rounds=3, checkpoint_seconds=0.0)
    tables["genotype"] = {"name": "cppn-graph", "cppn-graph": {"hidden_nodes": 4}}
    growing = {"node_add": 0.5, "connection_add": 0.6, "compatibility_threshold": 1.5, "stdev_init": 1.0}
    sizes = {"population_size": 8, "generations_per_round": 3, "ridge_images": 200, "readout": "ridge"}
    tables["optimizer"] = {"name": "neat", "neat": growing | sizes}
    config = tmp_path / "config.toml"
    config.write_text(write_toml(tables))
    killed_and_resumed(config, tmp_path, kills=10)
    whole = tmp_path / "whole-False"
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()[1:]]
    assert all(row["species"] > 1 for row in rows)  # speciation is under way
    assert rows[-1]["nodes"] != 5
    for out in tmp_path.glob("killed*"):
        assert (out / "growth.jsonl").read_bytes() == (whole / "growth.jsonl").read_bytes()

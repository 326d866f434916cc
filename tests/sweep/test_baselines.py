"""Baselines: rows that a sweep adds, and pairs that a comparison makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import digits_tables, plugin_class

import genophen
from genophen.cli import main
from genophen.compare.analysis import pairs_of
from genophen.compare.groups import read_groups
from genophen.config.toml import write_toml
from genophen.plugins.loading import load_plugins
from genophen.sweep.baselines import with_baselines
from genophen.sweep.file import read_sweep
from genophen.testing import check_optimizer

EVOLVED = {"genes": "embeddings", "readout": "ridge", "ridge_images": 90, "population_size": 4}
ROWS: dict[str, Any] = {
    "adam": {"training": {"batch_size": 600}},
    "evolved": {
        "optimizer": {"name": "cma-es", "cma-es": {**EVOLVED, "generations_per_round": 3, "separable": True}}
    },
}


def sweep_file(folder: Path, baselines: list[str]) -> Path:
    file = folder / "small.toml"
    tables = {"config": digits_tables(rounds=2), "seeds": [0, 1], "rows": ROWS, "baselines": baselines}
    file.write_text(write_toml(tables))
    return file


def test_a_sweep_adds_them_and_a_comparison_pairs_them_with_their_row(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["sweep", str(sweep_file(tmp_path, ["start", "random"])), "--out", "out"])
    assert caught.value.code == 0
    groups = {group.name: group for group in read_groups([Path("out")], load_plugins())}
    assert list(groups) == ["adam", "evolved", "evolved, start", "evolved, random"]
    assert all(list(group.by_seed) == [0, 1] for group in groups.values())
    pairs = [(first.name, second.name) for first, second in pairs_of(list(groups.values()))]
    assert pairs == [("evolved", "evolved, start"), ("evolved", "evolved, random"), ("adam", "evolved")]

    evaluations = {
        name: group.by_seed[0].result.sample_evaluations for name, group in groups.items() if name != "adam"
    }
    final = 1197  # the readout is solved on all training images in every round, the one before training too
    assert evaluations["evolved"] == evaluations["evolved, random"] == 2 * 3 * 4 * 90 + 3 * final
    assert evaluations["evolved, start"] == 90 + final  # which is solved once


def test_the_start_is_what_evolution_starts_from(tmp_path: Path) -> None:
    def first_row(optimizer: str) -> float:
        tables = digits_tables(rounds=1)
        tables["optimizer"] = {"name": optimizer, optimizer: {**EVOLVED, "generations_per_round": 1}}
        run = genophen.run(tables, out=tmp_path / optimizer)
        row: float = run.metrics[0]["validation_loss"]
        return row

    assert first_row("start") == first_row("cma-es") == first_row("random-search")


@pytest.mark.parametrize("name", ["start", "random-search"])
def test_they_keep_the_contract_and_continue_to_the_bit(name: str) -> None:
    cls = plugin_class("optimizer", name)
    check_optimizer(cls, cls.Options(readout="ridge", ridge_images=60, ridge_folds=3))


def test_random_search_keeps_the_best_candidate() -> None:
    cls = plugin_class("optimizer", "random-search")
    searcher = cls(cls.Options(population_size=8, stdev_init=0.5)).make_searcher(3, seed=0)
    assert not searcher.center().any()
    drawn: list[torch.Tensor] = []
    for _ in range(5):
        drawn.append(searcher.ask())
        searcher.tell(-(drawn[-1] - 1).square().sum(1))
    every = torch.cat(drawn)
    assert len(every) == 40
    assert every.std() == pytest.approx(0.5, rel=0.2)
    assert torch.equal(searcher.center(), every[(every - 1).square().sum(1).argmin()])


def test_a_baseline_that_no_row_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    sweep = read_sweep(sweep_file(tmp_path, ["start", "randon"]))
    with pytest.raises(
        genophen.ConfigError, match=r"baseline 'randon'[\s\S]*random, start[\s\S]*did you mean random"
    ):
        with_baselines(sweep, load_plugins())

"""The example package of evolved Gabor kernels: its configs, and a search with few kernels used for many."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import ROOT
from hostile import ask

from genophen.plugins.loading import load_plugins
from genophen.sweep.baselines import with_baselines
from genophen.sweep.file import read_sweep
from genophen.sweep.sweep import plan

EXAMPLE = ROOT / "examples" / "genophen-gabor"
PLUGIN = EXAMPLE / "genophen_gabor.py"


def test_its_configs_begin_with_their_command_and_can_be_used() -> None:
    for name in ("cifar.toml", "search.toml", "wide.toml", "mnist.toml"):
        kind = "run" if name == "cifar.toml" else "sweep"
        assert (EXAMPLE / name).read_text().startswith(f"# genophen {kind} examples/genophen-gabor/{name}")
    assert (
        ask("run", EXAMPLE / "cifar.toml", "--dry-run", "--plugin", PLUGIN, "--dataset", "digits").code == 0
    )
    plugins = load_plugins([PLUGIN])
    search, wide, mnist = (
        plan(with_baselines(read_sweep(EXAMPLE / name), plugins), Path("out"), plugins)
        for name in ("search.toml", "wide.toml", "mnist.toml")
    )
    assert len(mnist) == 3 * 5
    searched = {trial.directory.name for trial in search}
    starts = [trial.config.settings().get("optimizer.start.warm_start") for trial in wide]
    wanted = [Path(start).name for start in starts if start is not None]
    assert len(wanted) == 6
    assert set(wanted) <= searched


def test_what_was_found_with_few_kernels_starts_many(tmp_path: Path) -> None:
    digits = ("--plugin", PLUGIN, "--dataset", "digits", "--json", "--set", "dataset.validation_size=100")
    cma_es = "optimizer.cma-es."
    few = ("--set", "architecture.patch-features.kernels=3", "--set", f"{cma_es}ridge_images=40")
    many = ("--set", "architecture.patch-features.kernels=6", "--set", "optimizer.start.ridge_images=40")
    short = ("--set", f"{cma_es}generations_per_round=2", "--set", f"{cma_es}population_size=4")
    config = EXAMPLE / "cifar.toml"
    found = ask("run", config, *digits, *few, *short, "--out", tmp_path / "few")
    assert found.code == 0, found
    ridge = (
        "--set",
        'optimizer.start.readout="ridge"',
        "--set",
        f'optimizer.start.warm_start="{tmp_path}/few"',
    )
    once = ("--set", "optimizer.start.generations_per_round=1")
    used = ask(
        "run", config, *digits, *many, *ridge, *once, "--optimizer", "start", "--out", tmp_path / "many"
    )
    assert used.code == 0, used
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("few", "many")]
    assert [result["parameters"]["direct"] for result in results] == [550, 1090]
    assert results[1]["test_accuracy"] > 0.8

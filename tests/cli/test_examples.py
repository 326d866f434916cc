"""Every example by every optimizer, with the defaults of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

import genophen
from genophen.config.toml import read_toml
from genophen.plugins.loading import load_plugins

EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))
OPTIMIZERS = ["adam", "adamw", "cma-es", "neat", "pgpe", "random-search", "sgd", "snes", "start"]


def test_no_optimizer_is_left_out() -> None:
    assert load_plugins().names("optimizer") == OPTIMIZERS


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_runs_for_a_round(file: Path, optimizer: str, tmp_path: Path) -> None:
    kind, example = load_plugins().get("optimizer", optimizer).cls, read_toml(file)
    task = example.get("task", {}).get("name", "classification")
    overrides = ["training.rounds=1", f'optimizer.name="{optimizer}"', *smaller(example, task, tmp_path)]
    if "generations_per_round" in kind.Options.model_fields:
        overrides.append(f"optimizer.{optimizer}.generations_per_round=2")
    if "ridge_images" in example["optimizer"].get(optimizer, {}):
        overrides.append(f"optimizer.{optimizer}.ridge_images=1000")
    if kind.works_on is not None:
        overrides.append(f'genotype.name="{kind.works_on.name}"')
    if kind.needs_gradients and task == "double-pole":
        said = f"{optimizer}' takes gradients, which the task {task} does not have"
        with pytest.raises(genophen.ConfigError, match=said):
            genophen.run(file, overrides=overrides, out=tmp_path / "run")
        return
    result = genophen.run(file, overrides=overrides, out=tmp_path / "run")
    assert (result["status"], result["rounds"]) == ("completed", 1)
    assert (result["backward_samples"] > 0) == kind.needs_gradients
    searched, counts = result["parameters"]["searched"], result["parameters"]
    assert searched == (counts["total"] if kind.needs_gradients else counts["kernel"])


def smaller(example: dict[str, Any], task: str, folder: Path) -> list[str]:
    """Overrides for data that are small and need no download."""
    if task == "double-pole":
        return ["task.double-pole.horizon=100"]
    if task == "next-token":
        (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 50)
        file = f'dataset.characters.file="{folder / "text.txt"}"'
        return [file, "training.batch_size=8", "task.next-token.evaluation_lines=4"]
    if (name := example["dataset"]["name"]) == "unknown-delay":
        return [f"dataset.{name}.{part}_size=200" for part in ("train", "validation", "test")]
    # The digits, in the size and channels that the network takes.
    return ['dataset.name="digits"', "dataset.validation_size=200"]

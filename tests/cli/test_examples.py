"""Every example by every evolution strategy, with the defaults of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

import genophen
from genophen.config.toml import read_toml

#: Those over images.
EXAMPLES = [file for file in sorted((ROOT / "examples").glob("*.toml")) if "dataset" in read_toml(file)]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["cma-es", "snes", "pgpe"])
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_is_evolved_with_the_defaults(file: Path, optimizer: str, tmp_path: Path) -> None:
    # The digits, which need no download, in the size and channels that the network takes; two generations.
    overrides = ['dataset.name="digits"', "dataset.validation_size=200", "training.rounds=1"]
    if read_toml(file).get("task", {}).get("name") == "next-token":
        (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 50)
        overrides = [f'dataset.characters.file="{tmp_path / "text.txt"}"', "training.rounds=1"]
        overrides += ["training.batch_size=8", "task.next-token.evaluation_lines=4"]
    overrides += [f'optimizer.name="{optimizer}"', f"optimizer.{optimizer}.generations_per_round=2"]
    if "ridge_images" in read_toml(file)["optimizer"].get(optimizer, {}):
        overrides.append(f"optimizer.{optimizer}.ridge_images=1000")
    result = genophen.run(file, overrides=overrides, out=tmp_path / "run")
    assert result["status"] == "completed"
    assert result["backward_samples"] == 0
    assert result["parameters"]["searched"] == result["parameters"]["kernel"]

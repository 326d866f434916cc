"""The main job on real images, shortened; skipped where GENOPHEN_DATA names none."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

import genophen


@pytest.fixture
def data(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENOPHEN_DATA", str(real_data))
    return real_data


def test_mnist_trains(data: Path, tmp_path: Path) -> None:
    overrides = ["training.rounds=1"]
    result = genophen.run(ROOT / "examples" / "mnist.toml", overrides=overrides, out=tmp_path / "run")
    assert result["parameters"]["kernel"] == 4244
    assert result["test_accuracy"] > 0.95


def test_cifar10_as_jpeg_files_trains(data: Path, tmp_path: Path) -> None:
    if not (data / "cifar10-jpeg").is_dir():
        pytest.skip(f"{data} has no cifar10-jpeg/")
    overrides = [
        'dataset.name="image-folder"',
        'dataset.image-folder.path="cifar10-jpeg"',
        "training.max_sample_evaluations=60000",
    ]
    result = genophen.run(ROOT / "examples" / "cifar_block3.toml", overrides=overrides, out=tmp_path / "run")
    assert result["stop_reason"] == "max_sample_evaluations"
    assert result["parameters"]["kernel"] == 7296
    assert result["validation_accuracy"] > 0.2

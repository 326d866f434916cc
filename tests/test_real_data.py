"""The main job on real images, shortened; skipped where GENOPHEN_DATA names none."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from helpers import classes_on_test_images

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


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mnist-cnn", "vgg-block1", "vgg-block2", "vgg-block3"])
def test_an_exported_network_has_the_phenotypes_classes(
    architecture: str, data: Path, tmp_path: Path
) -> None:
    block = architecture.removeprefix("vgg-")
    config, overrides = ROOT / "examples" / "mnist.toml", ["training.max_sample_evaluations=60000"]
    if block != architecture:
        if not (data / "cifar10-jpeg").is_dir():
            pytest.skip(f"{data} has no cifar10-jpeg/")
        config = ROOT / "examples" / f"cifar_{block}.toml"
        overrides += ['dataset.name="image-folder"', 'dataset.image-folder.path="cifar10-jpeg"']
    run = genophen.run(config, overrides=overrides, out=tmp_path / "run")
    exported, measured = classes_on_test_images(run, run.export("onnx"))
    assert len(exported) == 10_000
    assert int((exported != measured).sum()) == 0

"""Figures: what they are made of, and that they are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import digits_tables
from PIL import Image

import genophen
from genophen.cli import main
from genophen.config.toml import write_toml
from genophen.report.kernels import tile


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def test_a_kernel_is_tiled_with_outputs_down_and_inputs_across() -> None:
    weight = torch.arange(2 * 3 * 2 * 2.0).view(2, 3, 2, 2)
    picture = tile(weight)
    assert picture.shape == (5, 8)
    assert torch.equal(picture[3:5, 6:8], weight[1, 2])
    assert torch.equal(picture[0:2, 3:5], weight[0, 1])
    assert bool(picture[2].isnan().all())
    assert tile(torch.zeros(40, 50, 3, 3)).shape == (63, 63)


def test_kernels_of_two_runs_are_drawn_side_by_side(tmp_path: Path) -> None:
    tables = digits_tables(rounds=1)
    genophen.run(tables, out=tmp_path / "hyper")
    genophen.run(tables, overrides=['genotype.name="direct"'], out=tmp_path / "direct")
    assert command("report", tmp_path / "direct", tmp_path / "hyper", "--figure", "kernels") == 0
    with Image.open(tmp_path / "direct" / "kernels.png") as image:
        width, height = image.size
    assert width > 1.5 * height


def test_accuracies_of_a_sweep_are_drawn(tmp_path: Path) -> None:
    line = {
        "model": "Hyper4_4",
        "test_accuracy_mean": 0.99,
        "test_accuracy_std": 0.001,
        "kernel_parameters": 4244,
    }
    published = {"reported_test_accuracy": 0.98, "reported_kernel_parameters": 4244}
    unrun = {"model": "x", "test_accuracy_mean": None, "test_accuracy_std": None, "kernel_parameters": None}
    (tmp_path / "table.json").write_text(json.dumps([line | published, unrun | published]))
    (tmp_path / "sweep.toml").write_text(write_toml({"title": "Digits <b>"}))
    target = tmp_path / "figure.svg"
    assert command("report", tmp_path, "--figure", "accuracy", "--out", target) == 0
    assert "<svg" in target.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--figure", "kernel"], "did you mean kernels?"),
        (["--figure", "accuracy"], "its table cannot be read"),
        (["--figure", "kernels"], "it has no config.toml"),
        (["--figure", "kernels", "--out", "x.gif"], "ending in .png, .svg or .pdf"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_explained(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("report", tmp_path, *arguments) == 2
    assert said in capsys.readouterr().err

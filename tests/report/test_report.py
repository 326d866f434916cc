"""Figures: what they are made of, and that they are written."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from helpers import digits_tables
from PIL import Image

import genophen
from genophen.cli import main
from genophen.report.kernel_figure import tile


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


def test_accuracies_are_drawn_as_the_page_draws_them(tmp_path: Path) -> None:
    tables = digits_tables(rounds=1)
    runs = [genophen.run(tables, out=tmp_path / "hyper")]
    runs.append(genophen.run(tables, overrides=['genotype.name="direct"'], out=tmp_path / "direct"))
    assert command("report", *(run.directory for run in runs), "--figure", "accuracy") == 0
    picture = ElementTree.parse(tmp_path / "hyper" / "accuracy.svg")
    titles = [title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        f"{name}: {run['test_accuracy']:.2%} with {run['parameters']['kernel']:,} kernel parameters"
        for name, run in zip(("Hyper4_4", "ConvModel"), runs, strict=True)
    ]
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"generated", "learned directly"} < set(texts)
    assert "published" not in texts
    (style,) = [style.text or "" for style in picture.iter("{http://www.w3.org/2000/svg}style")]
    assert ".mark.c0 { fill: #0b62b0; stroke: #ffffff; }" in style


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--figure", "kernel"], "did you mean kernels?"),
        (["--figure", "accuracy"], "neither config.toml nor sweep.toml"),
        (["--figure", "accuracy", "--out", "x.png"], "allowed: .svg"),
        (["--figure", "kernels"], "it has no config.toml"),
        (["--figure", "kernels", "--out", "x.gif"], ".pdf, .png, .svg"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_explained(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("report", tmp_path, *arguments) == 2
    assert said in capsys.readouterr().err

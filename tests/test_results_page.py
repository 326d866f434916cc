"""The page of published results against the row files beside it."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT

RESULTS = ROOT / "results"


#: What tells where the figures of a sentence come from: a link, a command or file, or a paper's year.
SOURCE = re.compile(r"\]\(|`[^`]*(?:/|genophen |python )[^`]*`|\((?:19|20)\d\d\)|\b(?:19|20)\d\d\b")


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(RESULTS))
    return importlib.import_module("page")


@pytest.fixture
def claims(page: ModuleType) -> list[str]:
    return list(importlib.import_module("claims").claims())


def flat(text: str) -> str:
    return " ".join(text.split())


def paragraphs(text: str) -> Iterator[str]:
    """The running text: no tables, no headings."""
    text = re.sub(r"<!-- table .*?<!-- end -->", "", text, flags=re.S)
    for paragraph in text.split("\n\n"):
        if paragraph.strip() and not paragraph.lstrip().startswith(("#", "|", "!")):
            yield flat(paragraph)


def test_the_running_text_says_what_the_row_files_say(page: ModuleType, claims: list[str]) -> None:
    text = flat(page.PAGE.read_text())
    assert [claim for claim in claims if claim not in text] == []


def test_every_figure_of_the_running_text_has_a_source(page: ModuleType, claims: list[str]) -> None:
    unsourced = []
    for paragraph in paragraphs(page.PAGE.read_text()):
        covered = paragraph
        for claim in claims:
            covered = covered.replace(claim, "")
        # names of rows, data sets and tables are no figures
        covered = re.sub(
            r"(?:Hyper|bfloat|VGG-Block|CIFAR-|WRN-|[Tt]ables? )[\d_]+(?:(?: to | and |'s)\d*)?", "", covered
        )
        for sentence in re.split(r"(?<=[.:;]) (?=[A-Z(])", covered):
            if re.search(r"\d", sentence) and not SOURCE.search(paragraph):
                unsourced.append(sentence)
    assert unsourced == [], "\n".join(unsourced)


def test_every_table_says_what_the_row_files_say(page: ModuleType) -> None:
    text = page.PAGE.read_text()
    assert set(re.findall(r"<!-- table ([a-z-]+) -->", text)) == set(page.WRITERS)
    assert page.renewed(text) == text, "python results/page.py"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.batch_size", 64),
        ("optimizer.adam.learning_rate", 0.1),
        ("architecture.vgg-block3.block_dropout", 0.3),
        ("augmentation.flip", True),
        ("training.precision", "bfloat16"),
        ("training.rounds", 7),
    ],
)
def test_a_setting_that_was_not_the_runs_own_is_noticed(
    page: ModuleType, tmp_path: Path, key: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in RESULTS.glob("*.json"):
        (tmp_path / file.name).write_text(file.read_text())
    changed = tmp_path / "table5_faithful.json"
    lines = json.loads(changed.read_text())
    assert lines[-1]["trials"][-1]["settings"][key] != value
    lines[-1]["trials"][-1]["settings"][key] = value
    changed.write_text(json.dumps(lines))
    monkeypatch.setattr(page, "HERE", tmp_path)
    text = page.PAGE.read_text()
    assert page.renewed(text) != text


def test_seeds_and_accuracies_are_noticed_too(
    page: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in RESULTS.glob("*.json"):
        (tmp_path / file.name).write_text(file.read_text())
    monkeypatch.setattr(page, "HERE", tmp_path)
    text = page.PAGE.read_text()
    changed = tmp_path / "table5_faithful.json"
    lines = json.loads(changed.read_text())
    lines[0]["trials"] = lines[0]["trials"][:1]
    changed.write_text(json.dumps(lines))
    assert page.renewed(text) != text


def test_every_file_and_example_that_the_page_names_is_there(page: ModuleType) -> None:
    text = page.PAGE.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (RESULTS / target).exists(), target
    for example in re.findall(r"examples/[\w/]+\.toml", text):
        assert (ROOT / example).is_file(), example


def test_encodings_stand_beside_the_hypernetwork_of_their_size_and_are_drawn(
    page: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(model: str, kernel: int, *accuracies: float) -> dict[str, object]:
        trials = [{"seed": seed, "test_accuracy": a} for seed, a in enumerate(accuracies)]
        return {"model": model, "kernel_parameters": kernel, "trials": trials}

    lines = [line("direct", 12560, 0.99), line("hypernetwork 4244", 4244, 0.99, 0.992)]
    lines += [line("dct 4244", 4244, 0.98, 0.984), line("low-rank 1601", 1568, 0.97)]
    (tmp_path / "encodings_mnist.json").write_text(json.dumps(lines))
    sizes = page.encodings()
    assert list(sizes)[:2] == ["direct", "hypernetwork"]
    assert sizes["dct"] == ["1601", "4244", "7175"]
    monkeypatch.setattr(page, "HERE", tmp_path)
    table = page.encodings_table().splitlines()[2:]
    assert table[0] == "| direct | 12,560 | 99.00% (n = 1) |  |"
    assert table[1] == "| hypernetwork | 4,244 | 99.10% ± 0.14 (n = 2) |  |"
    assert table[2] == "| low-rank | 1,568 | 97.00% (n = 1) | not run |"
    assert table[3].startswith("| dct | 4,244 | 98.20% ± 0.28 (n = 2) | -0.90 (-2.17 to +0.37)")
    figure = importlib.import_module("encodings_figure")
    monkeypatch.setattr(figure, "HERE", tmp_path)
    figure.main()
    assert (tmp_path / "encodings_mnist.png").read_bytes().startswith(b"\x89PNG")

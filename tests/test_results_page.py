"""The page of published results against the row files beside it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT

RESULTS = ROOT / "results"


@pytest.fixture
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("page", RESULTS / "page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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

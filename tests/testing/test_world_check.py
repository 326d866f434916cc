"""The world of the docs, broken in the ways that authors do: the check says what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT
from hostile import ask

WORLD = re.search(r"```python\n(import math\n.*?)```", (ROOT / "docs" / "control.md").read_text(), re.DOTALL)[
    1
]
MOVED = "position, ops.where(position > -1.2, velocity, 0.0 * velocity)"

BROKEN = {
    "global draws": ("generator=generator, ", "", "draw from context.generator alone"),
    "too few seen": (
        "return position + 0.5, velocity / 0.07",
        "return (position + 0.5,)",
        "observe() returned 1 values: give a tuple of 2, as many as num_observations",
    ),
    "one number": (f"return {MOVED}", "return position", "advance() returned float: give a tuple of 2"),
    "if on a value": (
        "return state[0] < 0.5",
        "return True if state[0] < 0.5 else False",
        "ops.where(condition, a, b) takes the place of `if`",
    ),
    "no comparison": ("return state[0] < 0.5", "return state[0]", "alive() returned float"),
    "other in arrays": (
        f"return {MOVED}",
        "return position, velocity * (2.0 if hasattr(velocity, 'shape') else 1.0)",
        "in numbers",
    ),
}


def write(folder: Path, old: str, new: str) -> Path:
    assert old in WORLD
    file = folder / "mountain_car.py"
    file.write_text(WORLD.replace(old, new, 1))
    return file


@pytest.mark.parametrize("way", BROKEN)
def test_what_is_wrong_is_told(way: str, tmp_path: Path) -> None:
    old, new, words = BROKEN[way]
    answer = ask("plugins", "check", "mountain-car", "--plugin", write(tmp_path, old, new))
    assert answer.code == 5, answer
    assert answer.out.count("FAIL") == 1
    assert words in answer.out


def test_the_world_of_the_docs_passes(tmp_path: Path) -> None:
    answer = ask("plugins", "check", "mountain-car", "--plugin", write(tmp_path, "", ""))
    assert answer.code == 0, answer
    assert "ok    a step in arrays of many worlds does the same as in plain numbers" in answer.out
    assert len(WORLD.splitlines()) <= 50

"""The text data set of docs/recurrent.md: a plugin of one file that a run reads, as the page says."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import ROOT

import genophen


def test_a_text_of_ones_own_is_read_by_a_run(tmp_path: Path) -> None:
    page = (ROOT / "docs/recurrent.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"^```python\n(.*?)^```$", page, re.S | re.M) if "class Letters" in b)
    assert len(block.splitlines()) <= 25
    (tmp_path / "letters.py").write_text(block, encoding="utf-8")
    run = genophen.run(
        {
            "task": {"name": "next-token", "next-token": {"steps": 20, "evaluation_lines": 2}},
            "dataset": {"name": "letters"},
            "architecture": {"name": "lstm", "lstm": {"hidden_size": 8}},
            "genotype": {"name": "direct"},
            "training": {"rounds": 1, "batch_size": 10},
        },
        out=tmp_path / "run",
        plugin_files=[tmp_path / "letters.py"],
    )
    assert run["dataset"] == "letters"
    assert 0 < run["test_bits_per_character"] < 2
    assert set(run.generate("a", length=9)) <= set("abc")

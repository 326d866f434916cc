"""axe-core finds no fault in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe import faults, needs_axe
from helpers import digits_tables

import genophen
from genophen.plugins.loading import load_plugins
from genophen.report.page import PageOptions, write_report


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_has_no_fault(browser: Any, tmp_path: Path, theme: str) -> None:
    for name in ("hypernetwork", "direct"):
        genophen.run(digits_tables(rounds=2), overrides=[f"genotype.name={name}"], out=tmp_path / name)
    target = tmp_path / "report.html"
    folders = [tmp_path / "hypernetwork", tmp_path / "direct"]
    write_report(folders, target, load_plugins(), PageOptions(), lambda note: None)
    assert faults(browser, target.as_uri(), theme) == []

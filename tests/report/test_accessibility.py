"""axe-core finds no fault in the report, where `npm install --no-save axe-core` was run here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from helpers import digits_tables

import genophen
from genophen.plugins.loading import load_plugins
from genophen.report.page import PageOptions, write_report

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there: npm install --no-save axe-core"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def faults(browser: Any, page: Path, theme: str) -> list[str]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=theme)
    opened.goto(page.as_uri())
    found = opened.evaluate(AXE.read_text(encoding="utf-8") + ";axe.run(document)")
    opened.close()
    return [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in found["violations"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_has_no_fault(browser: Any, tmp_path: Path, theme: str) -> None:
    for name in ("hypernetwork", "direct"):
        genophen.run(digits_tables(rounds=2), overrides=[f"genotype.name={name}"], out=tmp_path / name)
    target = tmp_path / "report.html"
    folders = [tmp_path / "hypernetwork", tmp_path / "direct"]
    write_report(folders, target, load_plugins(), PageOptions(), lambda note: None)
    assert faults(browser, target, theme) == []

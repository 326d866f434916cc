"""What axe-core finds wrong with a page, where `npm install --no-save axe-core` was run here."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not there: npm install --no-save axe-core"
)


def faults(browser: Any, address: str, theme: str) -> list[str]:
    """A line for each rule that the page breaks, with the first element that does."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=theme)
    page.goto(address)
    found = page.evaluate(AXE.read_text(encoding="utf-8") + ";axe.run(document)")
    page.close()
    return [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in found["violations"]]

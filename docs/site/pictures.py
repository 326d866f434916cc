"""The docs' screenshots: python docs/site/pictures.py [FOLDER], by default docs/pictures.

Trains three genotypes on digits as a reader would, with the command in a terminal of 88 columns, and has a
headless Chromium draw what the terminal showed and the top of the report that came of it.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 88
GENOTYPES = ("hypernetwork", "cppn", "direct")
TRAIN = ["run", "digits.toml", "--set", "training.rounds=10"]
_PAGE = """<body style="margin: 0; display: inline-block; background: #14181d; color: #d6dde4">
<pre style="margin: 0; padding: 20px 24px; font: 14px/1.45 'DejaVu Sans Mono', monospace">{code}</pre>
</body>"""


def main(folder: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("pictures need Chromium, for instance: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        shutil.copy(ROOT / "examples/digits.toml", work)
        shown = [in_terminal([*TRAIN, "--genotype", name], Path(work)) for name in GENOTYPES]
        in_terminal(["report", "--last", "3", "--out", "report.html"], Path(work))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        typed = " ".join(["$ genophen", *TRAIN, "--genotype", GENOTYPES[0]])
        _terminal(browser, [typed, *as_left(shown[0])], folder / "terminal.png")
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1280, "height": 1500}, color_scheme=theme)
            page.goto((Path(work) / "report.html").as_uri())
            page.screenshot(path=folder / f"report-{theme}.png")
        browser.close()


def in_terminal(arguments: list[str], folder: Path) -> str:
    """All that `genophen` writes to a terminal, escape sequences and all."""
    own, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": "40", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "genophen", *arguments]
    running = subprocess.Popen(command, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its)
    os.close(its)
    written = b""
    while True:
        try:
            written += os.read(own, 65536)
        except OSError:  # what Linux says at the end of a terminal
            break
    if running.wait() != 0:
        sys.exit(f"genophen {' '.join(arguments)} ended with {running.returncode}:\n{written.decode()}")
    return written.decode()


def as_left(written: str) -> list[str]:
    """The lines as they stand in the end: the last of what was drawn one over the other, and no bar."""
    lines: list[str] = []
    for line in written.replace("\r\n", "\n").split("\n"):
        frames = [frame for frame in line.split("\r") if Text.from_ansi(frame).plain.strip()]
        lines += [frame for frame in frames[-1:] if "━" not in frame]
    return lines


def _terminal(browser: Any, lines: list[str], target: Path) -> None:
    console = Console(record=True, file=StringIO(), width=COLUMNS, force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    page = browser.new_page()
    page.set_content(_PAGE.format(code=console.export_html(inline_styles=True, code_format="{code}")))
    page.locator("body").screenshot(path=target)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs/pictures")

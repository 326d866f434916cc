"""The files of a comparison: JSON, Markdown, the curves as CSV, and the figures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from genophen.compare.analysis import Comparison
from genophen.compare.curves import Curve
from genophen.compare.figures import write_figures
from genophen.compare.text import as_json, as_markdown
from genophen.storage.files import write_file, writing


def write_comparison(folder: Path, comparison: Comparison, curves: Sequence[Curve]) -> None:
    """Write `comparison.json`, `comparison.md`, `curves.csv` and the figures, over those of an earlier time.

    Raises:
        GenophenError: for a folder that cannot be written.
    """
    with writing(f"the comparison to {folder}", "choose a place to write: --out FOLDER"):
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "comparison.json", (json.dumps(as_json(comparison), indent=2) + "\n").encode())
        write_file(folder / "curves.csv", _csv(curves).encode())
        figures = write_figures(folder, comparison, curves)
        text = as_markdown(comparison, figures)
        write_file(folder / "comparison.md", text.encode(errors="backslashreplace"))


def _csv(curves: Sequence[Curve]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["group", "axis", "cost", "mean", "low", "high"])
    for curve in curves:
        for point in zip(curve.cost, curve.mean, curve.low, curve.high, strict=True):
            writer.writerow([curve.group, curve.axis, *(f"{value:.6g}" for value in point)])
    return out.getvalue()

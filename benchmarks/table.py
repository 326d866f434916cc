"""Tables of comparisons: printed, and kept as JSON (one a section) and Markdown (all of them)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Comparison
from genophen.storage.environment import machine, package_versions

COLUMNS = ("contestant", "ms", "ratio", "95% interval", "pairs", "target")


@dataclass
class Table:
    """One table: contestants beside a reference, and the ratios that are aimed at, by contestant."""

    title: str
    rows: Sequence[Comparison]
    #: The highest ratio aimed at (`at_most`), or the lowest (`at_least`).
    at_most: dict[str, float] = field(default_factory=dict)
    at_least: dict[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def lines(self) -> list[tuple[str, ...]]:
        return [
            (
                row.name,
                f"{row.seconds * 1e3:.4g}",
                f"{row.ratio:.3f}",
                f"{row.low:.3f} to {row.high:.3f}",
                str(row.pairs),
                self._verdict(row),
            )
            for row in self.rows
        ]

    def _verdict(self, row: Comparison) -> str:
        """Met where the interval reaches the target; `clearly` where all of it lies on the right side."""
        if (most := self.at_most.get(row.name)) is not None:
            said = "clearly met" if row.high <= most else "met" if row.low <= most else "missed"
            return f"<= {most:g}: {said}"
        if (least := self.at_least.get(row.name)) is not None:
            said = "clearly met" if row.low >= least else "met" if row.high >= least else "missed"
            return f">= {least:g}: {said}"
        return ""

    def text(self) -> str:
        if not self.rows:
            return "\n".join([self.title, *self.notes, ""])
        lines = [COLUMNS, *self.lines()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
        rows = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([self.title, *rows, *self.notes, ""])

    def markdown(self) -> str:
        lines = [COLUMNS, ("---",) * len(COLUMNS), *self.lines()] if self.rows else []
        rows = ["| " + " | ".join(line) + " |" for line in lines]
        return "\n".join([f"**{self.title}**", "", *rows, "", *(f"{note}  " for note in self.notes), ""])


def describe_machine() -> dict[str, Any]:
    """Processor, threads, versions, load, and whether a GPU took part."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    about = machine(device)
    return {
        "processor": about["processor"],
        "device": about["device_name"],
        "threads": about["threads"],
        "torch": package_versions()["torch"],
        "python": about["python"],
        "load": round(os.getloadavg()[0], 2),
    }


def save(section: str, tables: Sequence[Table], about: dict[str, Any], folder: Path) -> None:
    """Write the section's JSON, and the page of all sections that are in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "section": section,
        "machine": about,
        "tables": [asdict(table) | {"markdown": table.markdown()} for table in tables],
    }
    (folder / f"{section}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_page(folder), encoding="utf-8")


def _page(folder: Path) -> str:
    parts = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks`. A ratio is the median of paired ratios to the first row's time; "
        "its interval is the binomial 95% interval of that median. A target counts as met where the interval "
        "reaches it, and as clearly met where all of the interval does.",
        "",
    ]
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        about = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
        parts += [f"## {record['section']}", "", f"{about}.", ""]
        parts += [table["markdown"] for table in record["tables"]]
    if not torch.cuda.is_available():
        parts += ["The same command takes a GPU where there is one; it has not been run on one.", ""]
    return "\n".join(parts)

"""A phenotype in short, as text and as a table for notebooks: what is written, and from how many numbers."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from genophen.contracts.genotype import Target


@dataclass(frozen=True)
class Summary:
    """What a genotype writes, and how many numbers are trained."""

    genotype: str
    targets: Sequence[Target]
    kernel_parameters: int
    direct_parameters: int
    #: What becomes of the values that the network was built with.
    initial_values: str

    @property
    def written(self) -> int:
        """Numbers of all that is written."""
        return sum(math.prod(target.shape) for target in self.targets)

    @property
    def excess(self) -> str:
        """In words, that there are more numbers than they write; an empty string where there are not."""
        if self.kernel_parameters <= self.written:
            return ""
        return (
            f"{self.genotype} has more numbers than it writes: {self.kernel_parameters:,} for "
            f"{self.written:,}; a smaller genotype, or more of the network expressed, would be an encoding"
        )

    def text(self) -> str:
        """Headline, a line for each target, and notes."""
        lines = [_head(self), ""]
        table = [("parameter", "kind", "shape", "numbers"), *_rows(self.targets)]
        widths = [max(len(row[column]) for row in table) for column in range(4)]
        for name, kind, shape, numbers in table:
            lines.append(
                f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {numbers:>{widths[3]}}"
            )
        return "\n".join([*lines, "", *_notes(self)])

    def as_html(self) -> str:
        """The same as an HTML table."""
        head = "".join(f"<th>{name}</th>" for name in ("parameter", "kind", "shape", "numbers"))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in _rows(self.targets)
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in _notes(self))
        return f"<p>{html.escape(_head(self))}</p><table><tr>{head}</tr>{body}</table>{notes}"


def _head(summary: Summary) -> str:
    written, numbers = summary.written, summary.kernel_parameters
    each = f" ({written / numbers:.3g} for each)" if numbers else ""
    return f"{summary.genotype} writes {written:,} numbers of the network from {numbers:,} of its own{each}"


def _notes(summary: Summary) -> list[str]:
    direct = f"direct: {summary.direct_parameters:,} numbers, trained as they are"
    return [direct, summary.initial_values, *([summary.excess] if summary.excess else [])]


def _rows(targets: Sequence[Target]) -> list[tuple[str, str, str, str]]:
    return [
        (target.name, target.kind, " x ".join(map(str, target.shape)), f"{math.prod(target.shape):,}")
        for target in targets
    ]

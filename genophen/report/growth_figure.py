"""How a growing genotype grew: its structure after some rounds of a run, and the kernel that each wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from markupsafe import Markup
from torch import Tensor

from genophen.contracts.growing import Drawing, GrowingGenotype
from genophen.errors import DamagedError
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.registry import Plugins
from genophen.report.images import diverging_png
from genophen.report.kernel_figure import tile
from genophen.report.svg import element, picture
from genophen.report.trained_weights import common_kernel, read_trained
from genophen.storage.reading import read_rows
from genophen.storage.records import GrowthRow
from genophen.storage.rundir import RunDirectory

#: Structures that are drawn: the first, the last, and some between them.
SHOWN = 6
#: Channels of each side that are drawn of a kernel.
_CHANNELS = 8
_ROW, _MARGIN = 34.0, 84.0
#: Width of all columns together, and the least of one.
_WIDTH, _LEAST = 240.0, 64.0


@dataclass(frozen=True)
class Stage:
    """The genotype after a round."""

    title: str
    picture: Markup
    #: The kernel that it writes, as a data address, and its text alternative; empty where it writes none.
    kernel: str
    description: str


@dataclass(frozen=True)
class GrowthFigure:
    #: Whose genotype it is.
    owner: str
    stages: list[Stage]
    #: Name of the kernel, empty where there is none.
    kernel: str


def draw_growth(directory: Path, owner: str, plugins: Plugins) -> GrowthFigure | None:
    """The genotype of a run after some of its rounds; None where it has nothing to draw.

    Raises:
        DamagedError: for structures and weights that the run cannot have recorded.
    """
    file = RunDirectory(directory).growth
    rows = read_rows(file, GrowthRow)
    trained = read_trained(directory, plugins)
    genotype, name = trained.phenotype.genotype, common_kernel([trained])
    if not isinstance(genotype, GrowingGenotype) or not rows:
        return None
    found: list[tuple[int, Drawing, Tensor | None]] = []
    for row in _some(rows):
        _become(trained.phenotype, row, str(file))
        drawing = genotype.drawing()
        if drawing is None:
            return None
        found.append((row.round, drawing, None if name is None else trained.kernels[name].float().clone()))
    limit = (
        max([float(kernel.abs().quantile(0.99)) for *_, kernel in found if kernel is not None] or [0]) or 1.0
    )
    stages = []
    for number, drawing, kernel in found:
        title = f"round {number}: {len(drawing.nodes)} nodes, {len(drawing.links)} links"
        src = "" if kernel is None else diverging_png(tile(kernel, _CHANNELS), limit)
        stages.append(Stage(title, _drawn(drawing, title), src, f"the kernel that is written after {title}"))
    return GrowthFigure(owner, stages, name or "")


def _some(rows: Sequence[GrowthRow]) -> list[GrowthRow]:
    """So many rows as are shown, evenly spaced, the first and the last among them."""
    if len(rows) <= SHOWN:
        return list(rows)
    return [rows[round(place * (len(rows) - 1) / (SHOWN - 1))] for place in range(SHOWN)]


def _become(phenotype: Phenotype, row: GrowthRow, file: str) -> None:
    """Give the genotype the structure and the numbers of a row."""
    genotype = phenotype.genotype
    assert isinstance(genotype, GrowingGenotype)
    text = json.dumps(row.structure).encode()
    genotype.restore_structure({"_extra_state": torch.tensor(list(text), dtype=torch.uint8)})
    for name, parameter in genotype.named_parameters():
        values = row.weights.get(name, [])
        if len(values) != parameter.numel():
            raise DamagedError(
                f"cannot draw the structures in {file}",
                found=f"{len(values)} numbers of {name} in round {row.round}",
                allowed=f"{parameter.numel()}, as its structure has",
                next_step="train again, or remove the file: the report goes on without it",
            )
        parameter.data.copy_(torch.tensor(values).view(parameter.shape))


def _drawn(drawing: Drawing, title: str) -> Markup:
    """Nodes in columns; a link is orange where its weight is positive and blue where not, and the wider the
    larger."""
    columns: dict[int, list[int]] = {}
    for node, (_, column) in enumerate(drawing.nodes):
        columns.setdefault(column, []).append(node)
    order = sorted(columns)
    most = max(len(nodes) for nodes in columns.values())
    height = _ROW * most + 24
    places: dict[int, tuple[float, float]] = {}
    wide = max(_LEAST, _WIDTH / max(1, len(order) - 1))
    for place, column in enumerate(order):
        nodes = _untangled(columns[column], drawing, places)
        step = height / len(nodes)
        for row, node in enumerate(nodes):
            places[node] = (_MARGIN + wide * place, step * (row + 0.5))
    largest = max([abs(weight) for *_, weight in drawing.links] or [0.0]) or 1.0
    parts = []
    for source, target, weight in sorted(drawing.links, key=lambda link: abs(link[2])):
        (x1, y1), (x2, y2) = places[source], places[target]
        bend = (x2 - x1) / 2
        attributes = {
            "d": f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}",
            "class": f"line link {'c1' if weight > 0 else 'c0'}",
            "style": f"stroke-width:{0.5 + 3 * abs(weight) / largest:.2f}",
        }
        words = f"{drawing.nodes[source][0]} to {drawing.nodes[target][0]}: {weight:.3g}"
        parts.append(element("path", attributes, words))
    for node, (name, column) in enumerate(drawing.nodes):
        x, y = places[node]
        parts.append(element("circle", {"cx": x, "cy": y, "r": 5.5, "class": "node"}, name))
        at = {"x": x, "y": y - 9, "text-anchor": "middle"}
        if column == order[0]:
            at = {"x": x - 10, "y": y + 4, "text-anchor": "end"}
        elif column == order[-1]:
            at = {"x": x + 10, "y": y + 4}
        parts.append(element("text", {**at, "class": "name"}, content=name))
    width = 2 * _MARGIN + wide * (len(order) - 1) + 40
    return picture(width, height, parts, title)


def _untangled(nodes: Sequence[int], drawing: Drawing, places: dict[int, tuple[float, float]]) -> list[int]:
    """Nodes of a column, each about as high as those that lead to it."""

    def height(node: int) -> float:
        heights = [
            places[source][1] for source, target, _ in drawing.links if target == node and source in places
        ]
        return sum(heights) / len(heights) if heights else 0.0

    return sorted(nodes, key=height)

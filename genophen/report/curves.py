"""Learning curves of groups of runs: every seed, and the mean of those that count."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from genophen.report.axes import Axis, accuracy_axis, cost_axis, linear_axis, log_axis
from genophen.report.collection import ReportGroup, ReportRun
from genophen.report.svg import COLOURS, Chart, Frame, colour
from genophen.storage.records import MetricsRow

#: Points of one line: more are not to be told apart.
_MAX_POINTS = 150
#: More groups than colours are drawn in a small panel each.
MAX_TOGETHER = COLOURS
_SMALL = Frame(width=220, height=170, left=52, right=8, top=8, bottom=40)

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Measure:
    """What is drawn upwards, and what against."""

    key: str
    title: str
    value: Callable[[MetricsRow], float | None]
    cost: Callable[[MetricsRow], float]
    cost_title: str


def _rounds(row: MetricsRow) -> float:
    return row.round


def _evaluations(row: MetricsRow) -> float:
    return row.sample_evaluations


_VALUES: list[tuple[str, Callable[[MetricsRow], float | None]]] = [
    ("validation accuracy", lambda row: row.validation_accuracy),
    ("validation loss", lambda row: row.validation_loss),
    ("training loss", lambda row: row.train_loss),
]
MEASURES = [
    Measure(f"{title} against {cost_title}".replace(" ", "-"), title, value, cost, cost_title)
    for cost_title, cost in (("rounds", _rounds), ("sample evaluations", _evaluations))
    for title, value in _VALUES
]


@dataclass(frozen=True)
class CurvesFigure:
    """One figure; `panels` are pictures with the group that each shows, none where it shows all."""

    title: str
    panels: list[tuple[str, Markup]]
    #: Lines that the panels draw behind their own; empty where one picture shows all groups.
    shared: str = ""


def draw_curves(groups: Sequence[ReportGroup]) -> list[CurvesFigure]:
    """A figure for each measure of which anything is recorded, all groups in it."""
    drawn = [group for group in groups if any(run.rows for run in group.runs)]
    figures = []
    for measure in MEASURES:
        lines = [_lines(group, measure) for group in drawn]
        if any(len(points) > 1 for group_lines in lines for points in group_lines.seeds):
            figures.append(_figure(measure, drawn, lines))
    return figures


@dataclass(frozen=True)
class _Lines:
    """A group's lines: those of its runs, and the mean where several count."""

    runs: list[ReportRun]
    seeds: list[Points]
    mean: Points

    def draw(self, chart: Chart, name: str, style: str) -> None:
        alone = sum(run.ranked for run in self.runs) == 1
        for run, points in zip(self.runs, self.seeds, strict=True):
            kind = ("mean" if alone else "seed") if run.ranked else "unranked"
            chart.line(points, f"line {kind} {style}", f"{name}, seed {run.seed} ({run.status})")
        chart.line(self.mean, f"line mean {style}", f"{name}, mean")


def _figure(measure: Measure, groups: Sequence[ReportGroup], lines: Sequence[_Lines]) -> CurvesFigure:
    x, y = _axes(measure, lines)
    title = f"{measure.title} against {measure.cost_title}".capitalize()
    if len(groups) <= MAX_TOGETHER:
        chart = Chart(x, y)
        for index, (group, group_lines) in enumerate(zip(groups, lines, strict=True)):
            group_lines.draw(chart, group.name, f"{colour(index)} d{index % COLOURS}")
        return CurvesFigure(title, [("", chart.render(_described(title, groups, lines)))])
    behind = Chart(x, y, _SMALL)
    for group_lines in lines:
        behind.line(group_lines.mean or next(iter(group_lines.seeds), []), "line behind")
    identity = f"lines-{measure.key}"
    shared = Markup('<svg class="shared" aria-hidden="true"><defs><g id="{}">{}</g></defs></svg>').format(
        identity, Markup("").join(behind.parts)
    )
    panels = []
    for group, group_lines in zip(groups, lines, strict=True):
        chart = Chart(x, y, _SMALL)
        chart.parts.append(Markup('<use href="#{}"/>').format(identity))
        group_lines.draw(chart, group.name, colour(0))
        panels.append((group.name, chart.render(_described(title, [group], [group_lines]))))
    return CurvesFigure(title, panels, shared)


def _lines(group: ReportGroup, measure: Measure) -> _Lines:
    runs = [run for run in group.runs if run.rows]
    seeds = [_points(run, measure) for run in runs]
    counted = [points for run, points in zip(runs, seeds, strict=True) if run.ranked and points]
    mean: Points = []
    if len(counted) > 1:
        # Rows of one round stand side by side; from where a seed has ended, there is no mean of all.
        for together in zip(*counted, strict=False):
            mean.append((statistics.fmean(x for x, _ in together), statistics.fmean(y for _, y in together)))
    return _Lines(runs, [_thinned(points) for points in seeds], _thinned(mean))


def _points(run: ReportRun, measure: Measure) -> Points:
    values = [(measure.cost(row), measure.value(row)) for row in run.rows]
    return [(cost, value) for cost, value in values if value is not None]


def _thinned(points: Points) -> Points:
    """At most so many points, the first and the last among them."""
    if len(points) <= _MAX_POINTS:
        return points
    step = (len(points) - 1) / (_MAX_POINTS - 1)
    return [points[round(index * step)] for index in range(_MAX_POINTS)]


def _axes(measure: Measure, lines: Sequence[_Lines]) -> tuple[Axis, Axis]:
    seeds = [points for group in lines for points in group.seeds if points]
    xs = [x for points in seeds for x, _ in points]
    ys = [y for points in seeds for _, y in points]
    last = [points[-1][0] for points in seeds]
    x = cost_axis(measure.cost_title, last)
    if x.spacing is float:
        x = linear_axis(measure.cost_title, [min(xs), max(xs)])
    if "accuracy" in measure.title:
        y = accuracy_axis(measure.title, _late(lines) or ys)
    elif min(ys) > 0:
        y = log_axis(measure.title, ys, margin=0.03)
    else:
        y = linear_axis(measure.title, ys)
    return x, y


def _late(lines: Sequence[_Lines]) -> list[float]:
    """What runs that count reach after their first rounds: in those all do badly, and would take the room."""
    counted = [
        points
        for group in lines
        for run, points in zip(group.runs, group.seeds, strict=True)
        if run.ranked and len(points) > 1
    ]
    return [y for points in counted for _, y in points[max(1, len(points) // 10) :]]


def _described(title: str, groups: Sequence[ReportGroup], lines: Sequence[_Lines]) -> str:
    """The text alternative: from where to where each group goes."""
    parts = []
    for group, group_lines in zip(groups, lines, strict=True):
        points = group_lines.mean or next((points for points in group_lines.seeds if points), [])
        if points:
            parts.append(f"{group.name} goes from {points[0][1]:.4g} to {points[-1][1]:.4g}")
    return f"{title}. {'; '.join(parts)}."

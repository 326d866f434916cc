"""Learning curves of groups of runs: every seed, and the mean of those that count."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from markupsafe import Markup

from genophen.contracts.measure import Measure
from genophen.report.axes import Axis, cost_axis, linear_axis, log_axis, score_axis
from genophen.report.reported import ReportGroup, ReportRun
from genophen.report.svg import COLOURS, Chart, Frame, colour
from genophen.storage.records import MetricsRow

#: Points of one line: more are not to be told apart.
_MAX_POINTS = 150
#: More groups than colours are drawn in a small panel each.
MAX_TOGETHER = COLOURS
_SMALL = Frame(width=220, height=170, left=52, right=8, top=8, bottom=40)

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Quantity:
    """What is drawn upwards, and what against."""

    key: str
    title: str
    value: Callable[[MetricsRow], float | None]
    cost: Callable[[MetricsRow], float]
    cost_title: str
    #: Of a score: how it is written.
    measure: Measure | None = None
    #: Of a count: it is drawn from zero, evenly spaced.
    is_count: bool = False


def _rounds(row: MetricsRow) -> float:
    return row.round


def _extra(name: str, row: MetricsRow) -> float | None:
    """What a row has under a name of its optimizer's, if it is a number."""
    value = (row.model_extra or {}).get(name)
    return float(value) if isinstance(value, float | int) else None


def _evaluations(row: MetricsRow) -> float:
    return row.sample_evaluations


def _episodes(row: MetricsRow) -> float:
    return row.episodes


def quantities(
    measure: Measure,
    train_loss: str = "training loss",
    episodes: bool = False,
    charted: Mapping[str, str] = MappingProxyType({}),
) -> list[Quantity]:
    """All that is drawn of runs whose scores are of a measure, and what their training loss is.

    `episodes`: whether the runs count them, as the number that the literature calls evaluations. `charted`:
    further numbers in the rows of `metrics.jsonl` by their names, and what they are called.
    """
    values: list[tuple[str, Callable[[MetricsRow], float | None], Measure | None]] = [
        (f"validation {measure.name}", lambda row: measure.own(row.validation_score), measure),
        ("validation loss", lambda row: row.validation_loss, None),
        (train_loss, lambda row: row.train_loss, None),
    ]
    costs = [("rounds", _rounds), ("sample evaluations", _evaluations)]
    if episodes:
        costs.insert(0, ("evaluations (episodes)", _episodes))
    found = [
        Quantity(f"{title} against {cost_title}".replace(" ", "-"), title, value, cost, cost_title, scores)
        for cost_title, cost in costs
        for title, value, scores in values
    ]
    for name, title in charted.items():
        key = f"{name} against rounds".replace(" ", "-")
        found.append(Quantity(key, title, partial(_extra, name), _rounds, "rounds", is_count=True))
    return found


@dataclass(frozen=True)
class CurvesFigure:
    """One figure; `panels` are pictures with the group that each shows, none where it shows all."""

    title: str
    panels: list[tuple[str, Markup]]
    #: Lines that the panels draw behind their own; empty where one picture shows all groups.
    shared: str = ""


def draw_curves(
    groups: Sequence[ReportGroup], measure: Measure, charted: Mapping[str, str]
) -> list[CurvesFigure]:
    """A figure for each quantity of which anything is recorded, all groups in it; so for what is `charted`:
    names in the rows of `metrics.jsonl`, and what they are called."""
    drawn = [group for group in groups if any(run.rows for run in group.runs)]
    figures = []
    episodes = any(row.episodes for group in drawn for run in group.runs for row in run.rows)
    for quantity in quantities(measure, _train_loss(drawn), episodes, charted):
        lines = [_lines(group, quantity) for group in drawn]
        if any(len(points) > 1 for group_lines in lines for points in group_lines.seeds):
            figures.append(_figure(quantity, drawn, lines))
    return figures


def line_styles(groups: Sequence[ReportGroup], together: bool) -> list[tuple[str, str]]:
    """Class and meaning of each style of line that the figures of these groups have."""
    runs = [run for group in groups for run in group.runs if run.rows]
    several = any(sum(run.ranked and bool(run.rows) for run in group.runs) > 1 for group in groups)
    alone = any(sum(run.ranked for run in group.runs) == 1 for group in groups)
    styles = [
        ("line mean c0", "mean over seeds" + (", or a single seed" if alone else ""), several),
        ("line seed c0", "one seed of several", several),
        ("line unranked c0", "a run that did not come to its end", any(not run.ranked for run in runs)),
        ("line behind", "all other groups", not together),
    ]
    return [(style, meaning) for style, meaning, there in styles if there]


def _train_loss(groups: Sequence[ReportGroup]) -> str:
    """What the training loss of all runs is; where they differ, all that it is."""
    results = [run.result for group in groups for run in group.runs if run.result is not None]
    names = list(dict.fromkeys(result.train_loss_name.removeprefix("train ") for result in results))
    if len(names) == 1:
        return names[0] if names[0].startswith("minus") else f"training {names[0]}"
    return f"training loss ({', '.join(names)})" if names else "training loss"


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


def _figure(quantity: Quantity, groups: Sequence[ReportGroup], lines: Sequence[_Lines]) -> CurvesFigure:
    x, y = _axes(quantity, lines)
    title = f"{quantity.title} against {quantity.cost_title}".capitalize()
    if len(groups) <= MAX_TOGETHER:
        chart = Chart(x, y)
        for index, (group, group_lines) in enumerate(zip(groups, lines, strict=True)):
            group_lines.draw(chart, group.name, f"{colour(index)} d{index % COLOURS}")
        return CurvesFigure(title, [("", chart.render(_described(title, groups, lines)))])
    behind = Chart(x, y, _SMALL)
    for group_lines in lines:
        behind.line(group_lines.mean or next(iter(group_lines.seeds), []), "line behind")
    identity = f"lines-{quantity.key}"
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


def _lines(group: ReportGroup, quantity: Quantity) -> _Lines:
    runs = [run for run in group.runs if run.rows]
    seeds = [_points(run, quantity) for run in runs]
    counted = [points for run, points in zip(runs, seeds, strict=True) if run.ranked and points]
    mean: Points = []
    if len(counted) > 1:
        # Rows of one round stand side by side; from where a seed has ended, there is no mean of all.
        for together in zip(*counted, strict=False):
            mean.append((statistics.fmean(x for x, _ in together), statistics.fmean(y for _, y in together)))
    return _Lines(runs, [_thinned(points) for points in seeds], _thinned(mean))


def _points(run: ReportRun, quantity: Quantity) -> Points:
    values = [(quantity.cost(row), quantity.value(row)) for row in run.rows]
    return [(cost, value) for cost, value in values if value is not None]


def _thinned(points: Points) -> Points:
    """At most so many points, the first and the last among them."""
    if len(points) <= _MAX_POINTS:
        return points
    step = (len(points) - 1) / (_MAX_POINTS - 1)
    return [points[round(index * step)] for index in range(_MAX_POINTS)]


def _axes(quantity: Quantity, lines: Sequence[_Lines]) -> tuple[Axis, Axis]:
    seeds = [points for group in lines for points in group.seeds if points]
    xs = [x for points in seeds for x, _ in points]
    ys = [y for points in seeds for _, y in points]
    last = [points[-1][0] for points in seeds]
    x = cost_axis(quantity.cost_title, last)
    if x.spacing is float:
        x = linear_axis(quantity.cost_title, [min(xs), max(xs)], whole=True)
    if quantity.measure is not None:
        y = score_axis(quantity.title, _late(lines) or ys, quantity.measure)
    elif quantity.is_count:
        y = linear_axis(quantity.title, [0.0, *ys])
    elif min(ys) > 0:
        y = log_axis(quantity.title, ys, margin=0.03)
    else:
        y = linear_axis(quantity.title, ys)
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

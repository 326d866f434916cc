"""Test accuracy against kernel parameters, with the Pareto front: the groups that no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from genophen.report.axes import accuracy_axis, log_axis
from genophen.report.runs import ReportGroup
from genophen.report.svg import Chart, Frame

_FRAME = Frame(width=640, height=380, bottom=48)
#: Names nearer to each other than this, in SVG units, would run into each other.
_NAME_WIDTH, _NAME_HEIGHT = 120, 14


@dataclass(frozen=True)
class Point:
    """A group: its kernel parameters, and the mean test accuracy over its seeds."""

    name: str
    kernel: int
    accuracy: float
    spread: float
    direct: bool

    def beats(self, other: Point) -> bool:
        """Whether it has no more parameters, is no less accurate, and differs in one of them."""
        return (
            self.kernel <= other.kernel
            and self.accuracy >= other.accuracy
            and (self.kernel, self.accuracy) != (other.kernel, other.accuracy)
        )


def points_of(groups: Sequence[ReportGroup]) -> list[Point]:
    """A point for each group that has runs that count and kernel parameters."""
    return [
        Point(
            group.name,
            group.result.parameters.kernel,
            group.test_accuracy,
            group.spread or 0.0,
            group.result.genotype == "direct",
        )
        for group in groups
        if group.result is not None and group.test_accuracy is not None and group.result.parameters.kernel
    ]


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that none beats, from the fewest parameters to the most."""
    front = [point for point in points if not any(other.beats(point) for other in points)]
    return sorted(front, key=lambda point: point.kernel)


def draw_pareto(groups: Sequence[ReportGroup]) -> Markup | None:
    """The picture; None where fewer than two groups have a result."""
    points = points_of(groups)
    if len(points) < 2:
        return None
    published = [
        (group.name, group.published.kernel_parameters, group.published.test_accuracy)
        for group in groups
        if group.published.kernel_parameters and group.published.test_accuracy
    ]
    front = pareto_front(points)
    counts = [point.kernel for point in points] + [count for _, count, _ in published]
    accuracies = [point.accuracy + sign * point.spread for point in points for sign in (-1, 1)]
    accuracies += [accuracy for _, _, accuracy in published]
    x = log_axis("kernel parameters", counts, margin=0.08)
    chart = Chart(x, accuracy_axis("test accuracy", [min(a, 1.0) for a in accuracies]), _FRAME)
    chart.line(_stairs(front, x.high), "line front")
    for name, count, accuracy in published:
        chart.mark(count, accuracy, "cross", "mark published", f"{name}, published: {accuracy:.2%}")
    for point in points:
        spread = [
            (point.kernel, point.accuracy - point.spread),
            (point.kernel, point.accuracy + point.spread),
        ]
        style, shape = ("c1", "square") if point.direct else ("c0", "circle")
        if point.spread:
            chart.line(spread, f"line bar {style}")
        title = f"{point.name}: {point.accuracy:.2%} with {point.kernel:,} kernel parameters"
        chart.mark(point.kernel, point.accuracy, shape, f"mark {style}", title)
    _write_names(chart, [*front, *sorted(points, key=lambda point: -point.accuracy)])
    return chart.render(_described(points, front))


def _stairs(front: Sequence[Point], end: float) -> list[tuple[float, float]]:
    """The best accuracy that is had from each number of parameters on."""
    ends = [point.kernel for point in front[1:]] + [end]
    corners = []
    for point, until in zip(front, ends, strict=True):
        corners += [(point.kernel, point.accuracy), (until, point.accuracy)]
    return corners


def _write_names(chart: Chart, points: Sequence[Point]) -> None:
    """Names beside the points, as many as there is room for: those of the first points before the others."""
    written: list[tuple[float, float]] = []
    for point in dict.fromkeys(points):
        x, y = chart.at(point.kernel, point.accuracy)
        for down in (-8.0, 16.0):
            near = [
                other
                for other in written
                if abs(other[0] - x) < _NAME_WIDTH and abs(other[1] - (y + down)) < _NAME_HEIGHT
            ]
            inside = chart.frame.top < y + down < chart.frame.height - chart.frame.bottom
            if not near and inside:
                chart.name(point.kernel, point.accuracy, (6, down), point.name)
                written.append((x, y + down))
                break


def _described(points: Sequence[Point], front: Sequence[Point]) -> str:
    best = "; ".join(f"{point.name}: {point.accuracy:.2%} with {point.kernel:,}" for point in front)
    return (
        f"Test accuracy against kernel parameters of {len(points)} groups. "
        f"On the Pareto front, from few parameters to many: {best}."
    )

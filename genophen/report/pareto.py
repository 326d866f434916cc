"""Test scores against kernel parameters, with the Pareto front: the groups that no other one beats."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from genophen.contracts.measure import Measure
from genophen.report.axes import log_axis, score_axis
from genophen.report.reported import ReportGroup
from genophen.report.svg import LETTER_WIDTH, Chart, Frame, shortened

_FRAME = Frame(width=500, height=360, top=26)
#: Height of a letter, and the space that a mark takes, in SVG units.
_LETTER_HEIGHT, _MARK = 12.0, 5.0
#: What the marks stand for: shape, style and words.
_GENERATED, _DIRECT = ("circle", "c0", "generated"), ("square", "c1", "learned directly")
_PUBLISHED = ("cross", "published", "published")

#: Left, top, right, bottom.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """A group: its kernel parameters, and the mean test score over its seeds."""

    name: str
    kernel: int
    score: float
    spread: float
    direct: bool

    def beats(self, other: Point) -> bool:
        """Whether it has no more parameters, scores no less, and differs in one of them."""
        return (
            self.kernel <= other.kernel
            and self.score >= other.score
            and (self.kernel, self.score) != (other.kernel, other.score)
        )


def points_of(groups: Sequence[ReportGroup]) -> list[Point]:
    """A point for each group that has runs that count and kernel parameters."""
    return [
        Point(
            group.name,
            group.result.parameters.kernel,
            group.test_score,
            group.spread or 0.0,
            group.is_direct,
        )
        for group in groups
        if group.result is not None and group.test_score is not None and group.result.parameters.kernel
    ]


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that none beats, from the fewest parameters to the most."""
    front = [point for point in points if not any(other.beats(point) for other in points)]
    return sorted(front, key=lambda point: point.kernel)


def draw_pareto(groups: Sequence[ReportGroup], measure: Measure) -> Markup | None:
    """The picture; None where fewer than two groups have a result."""
    points = points_of(groups)
    if len(points) < 2:
        return None
    published = [
        (group.name, group.published.kernel_parameters, group.published.score)
        for group in groups
        if group.published.kernel_parameters and group.published.score is not None
    ]
    front = pareto_front(points)
    counts = [point.kernel for point in points] + [count for _, count, _ in published]
    scores = [point.score + sign * point.spread for point in points for sign in (-1, 1)]
    scores += [score for _, _, score in published]
    x = log_axis("kernel parameters", counts, margin=0.08)
    chart = Chart(x, score_axis(f"test {measure.title}", scores, measure), _FRAME)
    chart.line(_stairs(front, x.high), "line front")
    for name, count, score in published:
        chart.mark(count, score, "cross", "mark published", f"{name}, published: {measure.shown(score)}")
    for point in points:
        spread = [
            (point.kernel, point.score - point.spread),
            (point.kernel, point.score + point.spread),
        ]
        shape, style, _ = _DIRECT if point.direct else _GENERATED
        if point.spread:
            chart.line(spread, f"line bar {style}")
        title = f"{point.name}: {measure.shown(point.score)} with {point.kernel:,} kernel parameters"
        chart.mark(point.kernel, point.score, shape, f"mark {style}", title)
    there = [point.direct for point in points]
    kinds = {_GENERATED: not all(there), _DIRECT: any(there), _PUBLISHED: bool(published)}
    chart.explain([kind for kind, is_there in kinds.items() if is_there])
    _write_names(chart, [*front, *sorted(points, key=lambda point: -point.score)])
    return chart.render(_described(points, front, measure))


def _stairs(front: Sequence[Point], end: float) -> list[tuple[float, float]]:
    """The best score that is had from each number of parameters on."""
    ends = [point.kernel for point in front[1:]] + [end]
    corners = []
    for point, until in zip(front, ends, strict=True):
        corners += [(point.kernel, point.score), (until, point.score)]
    return corners


def _write_names(chart: Chart, points: Sequence[Point]) -> None:
    """Names beside the points, as many as there is room for: those of the first points before the others."""
    places = {point: chart.at(point.kernel, point.score) for point in points}
    taken: list[Box] = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in places.values()]
    for point, (x, y) in places.items():
        width = LETTER_WIDTH * len(shortened(point.name))
        for left, baseline in itertools.product((x + 7, x - 7 - width), (y - 7, y + 15)):
            box = (left, baseline - _LETTER_HEIGHT, left + width, baseline + 2)
            if _inside(box, chart.frame) and not any(_overlap(box, other) for other in taken):
                chart.write(left, baseline, point.name)
                taken.append(box)
                break


def _inside(box: Box, frame: Frame) -> bool:
    return box[0] >= frame.left and box[1] >= frame.top and box[2] <= frame.width


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _described(points: Sequence[Point], front: Sequence[Point], measure: Measure) -> str:
    best = "; ".join(f"{point.name}: {measure.shown(point.score)} with {point.kernel:,}" for point in front)
    return (
        f"Test {measure.title} against kernel parameters of {len(points)} groups. "
        f"On the Pareto front, from few parameters to many: {best}."
    )

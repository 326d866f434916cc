"""Test scores against kernel parameters, for the rows of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genophen.errors import printable
from genophen.sweep.table import common_measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_scores(title: str, lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Each row of a sweep's table as a point with its standard deviation, and what was published."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    measure = common_measure(lines)
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axis = figure.subplots()
    done = [line for line in lines if line["test_score_mean"] is not None]
    for line in done:
        direct = "conv" in line["model"].lower()
        axis.errorbar(
            line["kernel_parameters"],
            measure.factor * line["test_score_mean"],
            yerr=measure.factor * (line["test_score_std"] or 0),
            fmt="s" if direct else "o",
            color="#b3541e" if direct else "#1f5fa8",
            capsize=3,
        )
    published = [
        line
        for line in lines
        if line["reported_test_score"] is not None and line["reported_kernel_parameters"]
    ]
    axis.scatter(
        [line["reported_kernel_parameters"] for line in published],
        [measure.factor * line["reported_test_score"] for line in published],
        marker="x",
        color="#777777",
    )
    measured = [(line["model"], line["kernel_parameters"], line["test_score_mean"]) for line in done]
    printed = [
        (line["model"], line["reported_kernel_parameters"], line["reported_test_score"]) for line in published
    ]
    _names(axis, measured, "#222222", measure.factor)
    _names(axis, printed, "#777777", measure.factor)
    axis.set_xscale("log")
    axis.margins(x=0.13, y=0.08)
    low, high = axis.get_xlim()
    # All nine of each decade have room only where there is little more than half a one.
    every = {5: range(1, 10), 50: (1, 2, 3, 5, 7), 200: (1, 3), math.inf: (1,)}
    digits = next(digits for most, digits in every.items() if high <= most * low)
    axis.xaxis.set_major_locator(LogLocator(subs=digits))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_xlabel("kernel parameters")
    axis.set_ylabel(f"test {measure.title}{measure.unit}")
    axis.set_title(_label(title, 80), parse_math=False)
    axis.grid(alpha=0.3)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _names(axis: Any, points: Sequence[tuple[str, float, float]], colour: str, factor: int) -> None:
    """Write each point's name beside it, above and below in turn, so that neighbours stay readable."""
    for index, (text, x, score) in enumerate(sorted(points, key=lambda point: point[1])):
        offset = (4, 6) if index % 2 == 0 else (4, -13)
        axis.annotate(
            _label(text, 40),
            (x, factor * score),
            textcoords="offset points",
            xytext=offset,
            fontsize=8,
            color=colour,
            parse_math=False,
        )


def _label(text: str, longest: int) -> str:
    """A name as a figure has room for it."""
    shown = printable(text)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    kinds = [
        ("o", "#1f5fa8", "hypernetwork"),
        ("s", "#b3541e", "learned directly"),
        ("x", "#777777", "published"),
    ]
    return [
        Line2D([], [], marker=marker, color=colour, linestyle="none", label=label)
        for marker, colour, label in kinds
    ]

"""Test accuracy against kernel parameters, for the rows of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_accuracy(title: str, lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Each row of a sweep's table as a point with its standard deviation, and what was published."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axis = figure.subplots()
    done = [line for line in lines if line["test_accuracy_mean"] is not None]
    for line in done:
        direct = "conv" in line["model"].lower()
        axis.errorbar(
            line["kernel_parameters"],
            100 * line["test_accuracy_mean"],
            yerr=100 * (line["test_accuracy_std"] or 0),
            fmt="s" if direct else "o",
            color="#b3541e" if direct else "#1f5fa8",
            capsize=3,
        )
        _name(axis, line["model"], line["kernel_parameters"], line["test_accuracy_mean"])
    published = [
        line for line in lines if line["reported_test_accuracy"] and line["reported_kernel_parameters"]
    ]
    axis.scatter(
        [line["reported_kernel_parameters"] for line in published],
        [100 * line["reported_test_accuracy"] for line in published],
        marker="x",
        color="#777777",
    )
    for line in published:
        _name(
            axis, line["model"], line["reported_kernel_parameters"], line["reported_test_accuracy"], "#777777"
        )
    axis.set_xscale("log")
    axis.set_xlabel("kernel parameters")
    axis.set_ylabel("test accuracy (%)")
    axis.set_title(title)
    axis.grid(alpha=0.3)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _name(axis: Any, text: str, x: float, accuracy: float, colour: str = "#222222") -> None:
    axis.annotate(
        text, (x, 100 * accuracy), textcoords="offset points", xytext=(5, 5), fontsize=8, color=colour
    )


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

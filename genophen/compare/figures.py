"""The figures of a comparison: scores against sample evaluations, seconds and numbers of parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genophen.compare.analysis import Comparison, GroupSummary
from genophen.compare.curves import AXES, Curve
from genophen.contracts.measure import Measure
from genophen.storage.files import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that people with any colour vision tell apart (M. Okabe and K. Ito, 2002), less the yellow.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
_LINES = ["-", "--", "-.", ":"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
#: Costs that differ by more than this factor are drawn on a logarithmic axis.
_LOG_FROM = 10.0


def write_figures(folder: Path, comparison: Comparison, curves: Sequence[Curve]) -> list[str]:
    """Draw every figure as PNG and SVG; the names of the PNG files."""
    from matplotlib import rc_context

    measure = comparison.measure
    styles = {group.name: index for index, group in enumerate(comparison.groups)}
    figures = {
        f"{measure.key}_by_{axis}": _draw_curves(
            title, [c for c in curves if c.axis == axis], styles, measure
        )
        for axis, title in AXES.items()
    }
    figures[f"{measure.key}_by_parameters"] = _draw_parameters(comparison, styles)
    if any(group.success is not None for group in comparison.groups):
        figures["unsolved_by_evaluations"] = draw_survival(comparison.groups, styles)
    for name, figure in figures.items():
        with rc_context({"svg.hashsalt": "genophen", "svg.fonttype": "none"}):
            write_figure(folder / f"{name}.svg", figure, metadata={"Date": None})
        write_figure(folder / f"{name}.png", figure, dpi=150)
    return [f"{name}.png" for name in figures]


def write_figure(path: Path, figure: Figure, **settings: Any) -> None:
    """Write a figure in the format of the path's suffix; `settings` are those of `savefig`."""
    content = BytesIO()
    figure.savefig(content, format=path.suffix[1:], **settings)
    write_file(path, content.getvalue())


def _draw_curves(title: str, curves: Sequence[Curve], styles: dict[str, int], measure: Measure) -> Figure:
    from matplotlib.figure import Figure

    low, high = min(c.low[-1] for c in curves), max(c.high[-1] for c in curves)
    margin = max(high - low, 0.005 * (1 if measure.percent else abs(high)), 1e-6)
    bottom, top = low - margin, high + margin / 4
    # Where the curves begin near their ends, a second look would be from farther away.
    closer = top - bottom < 0.5 * (high - min(float(c.low.min()) for c in curves))
    figure = Figure(figsize=(10 if closer else 6, 5), layout="constrained")
    axes = figure.subplots(1, 2 if closer else 1, squeeze=False)[0]
    for axis in axes:
        for curve in curves:
            _draw_curve(axis, curve, styles[curve.group], measure.factor)
        _scale(axis, [end for curve in curves if (end := float(curve.cost[-1])) > 0])
        axis.set_xlabel(title)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"best validation {measure.title} so far{measure.unit}")
    if closer:
        axes[1].set_title("the same, close up", fontsize=10)
        axes[1].set_ylim(measure.factor * bottom, measure.factor * top)
    figure.suptitle("Mean over seeds; band: lowest to highest seed", fontsize=10)
    _legend(figure, axes[0])
    return figure


def _draw_curve(axis: Axes, curve: Curve, style: int, factor: int) -> None:
    colour = COLOURS[style % len(COLOURS)]
    axis.plot(
        curve.cost,
        factor * curve.mean,
        color=colour,
        drawstyle="steps-post",
        linestyle=_LINES[style % len(_LINES)],
        label=_label(curve.group),
    )
    low, high = factor * curve.low, factor * curve.high
    axis.fill_between(curve.cost, low, high, color=colour, alpha=0.2, linewidth=0, step="post")


def draw_survival(groups: Sequence[GroupSummary], styles: dict[str, int]) -> Figure:
    """The share of runs that have not solved their task, against evaluations; ticks: runs that never did."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    known = [(group, group.success) for group in groups if group.success is not None]
    first = min((success.curve[0][0] for _, success in known if success.curve), default=1)
    most = max(success.evaluations_max for _, success in known)
    for group, success in known:
        style = styles[group.name]
        steps = [(first, 1.0), *success.curve]
        # Beyond the last run, solved or not, nothing is known.
        steps.append((success.evaluations_max, steps[-1][1]))
        colour = COLOURS[style % len(COLOURS)]
        axis.step(
            *zip(*steps, strict=True),
            where="post",
            color=colour,
            linestyle=_LINES[style % len(_LINES)],
            label=_label(group.name),
        )
        if success.censored:
            axis.plot(success.censored, [steps[-1][1]] * len(success.censored), "|", color=colour)
    _scale(axis, [first, most])
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlabel("evaluations (episodes of candidates)")
    axis.set_ylabel("share of runs not solved")
    axis.grid(alpha=0.3)
    _legend(figure, axis)
    return figure


def _draw_parameters(comparison: Comparison, styles: dict[str, int]) -> Figure:
    from matplotlib.figure import Figure

    kinds: dict[str, Callable[[GroupSummary], int | None]] = {
        "numbers trained or searched": lambda group: group.searched_parameters,
        "kernel parameters": lambda group: group.kernel_parameters,
    }
    measure, factor = comparison.measure, comparison.measure.factor
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (title, count) in zip(axes, kinds.items(), strict=True):
        for group in comparison.groups:
            if group.test_score_mean is None:
                continue
            mean, style = group.test_score_mean, styles[group.name]
            values = list(group.test_scores.values())
            axis.errorbar(
                count(group),
                factor * mean,
                yerr=[[factor * (mean - min(values))], [factor * (max(values) - mean)]],
                fmt=_MARKERS[style % len(_MARKERS)],
                color=COLOURS[style % len(COLOURS)],
                capsize=3,
                label=_label(group.name),
            )
        _scale(axis, [n for group in comparison.groups if (n := count(group))])
        axis.set_xlabel(title)
        axis.margins(x=0.15)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"test {measure.title}{measure.unit}")
    figure.suptitle("Mean over seeds; bar: lowest to highest seed", fontsize=10)
    _legend(figure, axes[0])
    return figure


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(3, max(1, len(labels))), frameon=False
    )


def _scale(axis: Axes, costs: Sequence[float]) -> None:
    """A logarithmic axis where the groups' costs are far apart; few ticks, with separators."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if costs and max(costs) > _LOG_FROM * min(costs):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=8))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _label(name: str) -> str:
    """A group's name for matplotlib: no formula between dollar signs, no hidden leading underscore."""
    return " " * name.startswith("_") + name.replace("$", r"\$")

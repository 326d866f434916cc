"""Figures that are files of their own, by name, from the folders of runs and sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from genophen.errors import ConfigError
from genophen.plugins.registry import Plugins
from genophen.report.collection import read_collection
from genophen.report.kernel_figure import Panel, draw_kernels
from genophen.report.pareto import draw_pareto
from genophen.report.svg import standalone
from genophen.report.trained_weights import Trained, common_kernel, read_trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class SingleFigure:
    """A figure that `genophen report --figure NAME` draws."""

    #: How its file may end, the usual ending first.
    endings: tuple[str, ...]
    #: The file's content, given the folders and the ending.
    content: Callable[[Sequence[Path], Plugins, str], bytes]


def kernels_figure(directories: Sequence[Path], plugins: Plugins) -> Figure:
    """The kernel of which most can be drawn, of those that all runs have, at the best round of each.

    Raises:
        ConfigError: for runs that have no such kernel in common.
    """
    networks = [read_trained(directory, plugins) for directory in directories]
    name = common_kernel(networks)
    if name is None:
        raise ConfigError(
            "cannot draw the kernels side by side",
            found="the runs have no expressed convolution in common",
            allowed="runs of one architecture",
        )
    panels = [Panel(_title(network), network.kernels[name]) for network in networks]
    return draw_kernels(panels, f"Kernels of {name}, one colour scale (the first 16 channels of each side).")


def _title(network: Trained) -> str:
    return (
        f"{network.config.genotype.name}\n{network.phenotype.parameter_counts().kernel:,} kernel parameters"
    )


def _kernels(directories: Sequence[Path], plugins: Plugins, ending: str) -> bytes:
    file = BytesIO()
    kernels_figure(directories, plugins).savefig(file, format=ending[1:], dpi=150, bbox_inches="tight")
    return file.getvalue()


def _scores(directories: Sequence[Path], plugins: Plugins, ending: str) -> bytes:
    """Scores against kernel parameters, as the report's page draws them."""
    collection = read_collection(directories, plugins)
    if len(collection.sources) > 1:
        raise ConfigError(
            "cannot draw scores against kernel parameters",
            found=f"runs on {', '.join(source.name for source in collection.sources)}",
            allowed="runs on one data set or task",
        )
    (source,) = collection.sources
    chart = draw_pareto(source.groups, source.measure)
    if chart is None:
        raise ConfigError(
            "cannot draw scores against kernel parameters",
            found="fewer than two groups of runs have come to their end",
            allowed="the folder of a sweep, or folders of runs whose settings differ",
        )
    return standalone(chart).encode()


FIGURES = {
    "accuracy": SingleFigure((".svg",), _scores),
    "kernels": SingleFigure((".png", ".svg", ".pdf"), _kernels),
}

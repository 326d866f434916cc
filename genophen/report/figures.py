"""Figures by name, from the folders of runs and sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genophen.config.toml import read_toml
from genophen.errors import ConfigError
from genophen.plugins.registry import Plugins
from genophen.report.accuracy import draw_scores
from genophen.report.kernels import Panel, draw_kernels
from genophen.report.networks import Trained, common_kernel, read_trained
from genophen.storage.guard import GuardedPath
from genophen.storage.records import read_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def kernels_figure(directories: Sequence[Path], plugins: Plugins) -> Figure:
    """The largest kernel, by height, that all runs have, at the best round of each.

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


def scores_figure(directories: Sequence[Path], plugins: Plugins) -> Figure:
    """Scores against kernel parameters for the table of one sweep.

    Raises:
        ConfigError: for a folder without a sweep's table, or several folders.
    """
    if len(directories) != 1:
        raise ConfigError(
            "cannot draw the scores",
            found=f"{len(directories)} folders",
            allowed="the folder of one sweep",
        )
    folder = directories[0]
    try:
        lines = read_table(GuardedPath(folder) / "table.json")
        title = str(read_toml(GuardedPath(folder) / "sweep.toml").get("title", folder.name))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot draw the scores of {folder}",
            found=f"its table cannot be read: {error}",
            next_step="give the --out folder of `genophen sweep`",
        ) from None
    return draw_scores(title, lines)


#: What `genophen report --figure NAME` draws.
FIGURES: dict[str, Callable[[Sequence[Path], Plugins], Figure]] = {
    "accuracy": scores_figure,
    "kernels": kernels_figure,
}

"""Figures by name, from the folders of runs and sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from genophen.config import resolve_config
from genophen.errors import ConfigError
from genophen.experiment import build_phenotype
from genophen.plugins import Plugins
from genophen.records import read_table
from genophen.report.accuracy import draw_accuracy
from genophen.report.kernels import Panel, draw_kernels
from genophen.rundir import RunDirectory, load_state
from genophen.toml import read_toml

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def kernels_figure(directories: Sequence[Path], plugins: Plugins) -> Figure:
    """The largest kernel, by height, that all runs have, at the best round of each.

    Raises:
        ConfigError: for runs that have no such kernel in common.
    """
    found = [_kernels(directory, plugins) for directory in directories]
    common = [name for name in found[0][1] if all(name in kernels for _, kernels, _ in found)]
    if not common:
        raise ConfigError(
            "cannot draw the kernels side by side",
            found="the runs have no expressed convolution in common",
            allowed="runs of one architecture",
        )
    name = max(common, key=lambda candidate: found[0][1][candidate].shape[2])
    panels = [
        Panel(f"{genotype}\n{count:,} kernel parameters", kernels[name]) for genotype, kernels, count in found
    ]
    return draw_kernels(panels, f"Kernels of {name}, one colour scale (the first 16 channels of each side).")


def _kernels(directory: Path, plugins: Plugins) -> tuple[str, dict[str, Tensor], int]:
    """A run's genotype, its expressed convolutions at the best round, and its kernel parameters."""
    run = RunDirectory.open(directory)
    tensors, _ = run.load_best()
    config = resolve_config(read_toml(run.config), plugins, str(run.config))
    _, phenotype = build_phenotype(config, plugins)
    load_state(phenotype, tensors, run.best)
    kernels = {name: weight.detach() for name, weight in phenotype.weights().items() if weight.dim() == 4}
    return config.genotype.name, kernels, phenotype.parameter_counts().kernel


def accuracy_figure(directories: Sequence[Path], plugins: Plugins) -> Figure:
    """Accuracy against kernel parameters for the table of one sweep.

    Raises:
        ConfigError: for a folder without a sweep's table, or several folders.
    """
    if len(directories) != 1:
        raise ConfigError(
            "cannot draw the accuracies",
            found=f"{len(directories)} folders",
            allowed="the folder of one sweep",
        )
    folder = directories[0]
    try:
        lines = read_table(folder / "table.json")
        title = str(read_toml(folder / "sweep.toml").get("title", folder.name))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot draw the accuracies of {folder}",
            found=f"its table cannot be read: {error}",
            next_step="give the --out folder of `genophen sweep`",
        ) from None
    return draw_accuracy(title, lines)


#: What `genophen report --figure NAME` draws.
FIGURES: dict[str, Callable[[Sequence[Path], Plugins], Figure]] = {
    "accuracy": accuracy_figure,
    "kernels": kernels_figure,
}

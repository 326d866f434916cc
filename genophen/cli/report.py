"""`genophen report`: figures of runs and sweeps."""

from __future__ import annotations

from pathlib import Path

import click

from genophen.cli.common import load_all_plugins, plugin_options, show
from genophen.cli.completion import run_directories


@click.command(no_args_is_help=True)
@click.argument(
    "directories",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR...",
    shell_complete=run_directories,
)
@click.option(
    "--figure",
    "name",
    required=True,
    metavar="NAME",
    help="accuracy (of a sweep: against kernel parameters) or kernels (of runs: side by side).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A .png, .svg or .pdf file (default: NAME.png in the first folder).",
)
@plugin_options
def report(
    directories: tuple[Path, ...], name: str, out: Path | None, plugin_files: tuple[Path, ...], debug: bool
) -> None:
    """Draw one figure of the runs or the sweep in DIR....

    \b
    genophen report runs/mine runs/table2/trials/ConvModel-seed0 --figure kernels
    genophen report runs/table2 --figure accuracy --out accuracy.svg
    """
    from genophen.errors import ConfigError, GenophenError, unknown_name
    from genophen.report.figures import FIGURES

    if name not in FIGURES:
        raise ConfigError(f"cannot draw the figure {name!r}", **unknown_name("figure", [*FIGURES], name))
    target = directories[0] / f"{name}.png" if out is None else out
    if target.suffix not in (".png", ".svg", ".pdf"):
        raise ConfigError(
            f"cannot write the figure to {target}", allowed="a name ending in .png, .svg or .pdf"
        )
    figure = FIGURES[name](directories, load_all_plugins(plugin_files))
    try:
        figure.savefig(target, dpi=150, bbox_inches="tight")
    except OSError as error:
        raise GenophenError(
            f"cannot write the figure to {target}", found=error.strerror or str(error), next_step="--out FILE"
        ) from None
    show(str(target))

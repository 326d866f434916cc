"""`genophen report`: one page over runs and sweeps, or one figure of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from genophen.cli.common import data_dir_option, device_option, load_all_plugins, plugin_options, say, show
from genophen.cli.completion import run_directories
from genophen.cli.runs import last_option, with_last

if TYPE_CHECKING:
    from genophen.plugins.registry import Plugins


@click.command(no_args_is_help=True)
@click.argument(
    "directories",
    nargs=-1,
    type=click.Path(path_type=Path),
    metavar="DIR...",
    shell_complete=run_directories,
)
@last_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The file to write (default: report.html, or the figure's name, in the first folder).",
)
@click.option(
    "--watch", is_flag=True, help="Write the page again whenever the runs get further; Ctrl-C ends."
)
@click.option(
    "--no-images", is_flag=True, help="Leave out confusion matrix and worst images: no data is read."
)
@click.option(
    "--figure",
    "figure_name",
    metavar="NAME",
    help="One figure alone: accuracy (against kernel parameters, .svg) or kernels (of runs, side by side: "
    ".png, .svg or .pdf).",
)
@device_option
@data_dir_option
@plugin_options
def report(
    directories: tuple[Path, ...],
    last: int | None,
    out: Path | None,
    watch: bool,
    no_images: bool,
    figure_name: str | None,
    device: str | None,
    data_dir: Path | None,
    plugin_files: tuple[Path, ...],
    debug: bool,
) -> int:
    """Write one HTML page over the runs and sweeps in DIR...: a single file that loads nothing else.

    \b
    genophen report runs/table2
    genophen report --last 5
    genophen report runs/20260101-* --out report.html --no-images
    genophen report --watch runs/20260101-120000-mnist-1a2b3c
    genophen report runs/table2 --figure accuracy --out accuracy.svg
    """
    directories = with_last(directories, last)
    if figure_name is not None:
        _draw(figure_name, directories, out, load_all_plugins(plugin_files))
        return 0
    from genophen.compare.predictions import EvaluationPlace
    from genophen.report.page import PageOptions, write_report
    from genophen.report.watch import watch_report

    target = directories[0] / "report.html" if out is None else out
    plugins = load_all_plugins(plugin_files)
    options = PageOptions(images=not no_images, place=EvaluationPlace(device, data_dir))
    signal_number = 0
    if watch:
        say(f"Writing {target} as the runs go on; Ctrl-C ends this, not them.")
        signal_number = watch_report(directories, target, plugins, options, say)
    else:
        write_report(directories, target, plugins, options, say)
    show(str(target))
    return 128 + signal_number if signal_number else 0


def _draw(name: str, directories: tuple[Path, ...], out: Path | None, plugins: Plugins) -> None:
    """Write one figure, and print where it is."""
    from genophen.errors import ConfigError, listed, unknown_name
    from genophen.report.single import FIGURES
    from genophen.storage.files import write_file, writing

    if name not in FIGURES:
        raise ConfigError(f"cannot draw the figure {name!r}", **unknown_name("figure", [*FIGURES], name))
    figure = FIGURES[name]
    target = directories[0] / f"{name}{figure.endings[0]}" if out is None else out
    if target.suffix not in figure.endings:
        raise ConfigError(
            f"cannot write the figure {name} to {target}",
            found=f"a name ending in {target.suffix!r}",
            allowed=listed(figure.endings),
        )
    content = figure.content(directories, plugins, target.suffix)
    with writing(f"the figure to {target}", "--out FILE"):
        write_file(target, content)
    show(str(target))

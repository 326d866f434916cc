"""`genophen compare`: statistics over runs and sweeps."""

from __future__ import annotations

from pathlib import Path

import click

from genophen.cli.common import (
    data_dir_option,
    device_option,
    json_option,
    load_all_plugins,
    plugin_options,
    print_json,
    say,
    show,
)
from genophen.cli.completion import run_directories
from genophen.cli.runs import last_option, with_last


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
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Also write comparison.json, comparison.md, curves.csv and the figures (PNG, SVG) there.",
)
@click.option("--baseline", metavar="GROUP", help="Compare each group with this one alone, not every pair.")
@click.option(
    "--no-bootstrap", is_flag=True, help="Leave out the bootstrap over test images: no network is run."
)
@device_option
@data_dir_option
@json_option
@plugin_options
def compare(
    directories: tuple[Path, ...],
    last: int | None,
    out: Path | None,
    baseline: str | None,
    no_bootstrap: bool,
    device: str | None,
    data_dir: Path | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
    debug: bool,
) -> None:
    """Compare the runs and sweeps in DIR...: mean scores with intervals, pairs, costs, warnings.

    A group is a row of a sweep, or the runs given whose settings differ in the seed alone. A claim needs five
    seeds in common. Budgets (training.max_sample_evaluations, max_seconds) make the sides equal.

    \b
    genophen compare runs/adam-* runs/sgd-*
    genophen compare runs/evolution_vs_gradient --out comparison
    """
    from genophen.compare.analysis import analyse, pairs_of
    from genophen.compare.curves import read_curves
    from genophen.compare.groups import read_groups
    from genophen.compare.output import write_comparison
    from genophen.compare.predictions import EvaluationPlace, read_predictions
    from genophen.compare.text import as_json as comparison_as_json
    from genophen.compare.text import as_text

    directories = with_last(directories, last)
    plugins = load_all_plugins(plugin_files)
    groups = read_groups(directories, plugins)
    pairs = pairs_of(groups, baseline)
    correct, notes = (
        ({}, [])
        if no_bootstrap
        else read_predictions(groups, plugins, EvaluationPlace(device, data_dir), say)
    )
    comparison = analyse(groups, pairs, correct, notes)
    if out is not None:
        write_comparison(out, comparison, read_curves(groups))
    if as_json:
        print_json(comparison_as_json(comparison))
    else:
        show(as_text(comparison))

"""`genophen run`: train what a config describes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genophen.cli.common import (
    conclude,
    config_options,
    data_dir_option,
    device_option,
    json_option,
    plugin_options,
    print_json,
    reporter_options,
    reporters,
    resolve,
    say,
    show,
)

if TYPE_CHECKING:
    from genophen.config.config import Config
    from genophen.plugins.registry import Plugins
    from genophen.training.pace import Pace


@click.command(no_args_is_help=True)
@config_options
@device_option
@data_dir_option
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Run directory, absent or empty.")
@click.option(
    "--report", "with_report", is_flag=True, help="Write report.html into the run directory afterwards."
)
@click.option("--dry-run", is_flag=True, help="Check all but the data, print the resolved config.")
@click.option(
    "--estimate",
    is_flag=True,
    help="A dry run that reads the data, too, and takes some steps: seconds a round.",
)
@reporter_options
@json_option
@plugin_options
def run(
    config: Path,
    assignments: tuple[str, ...],
    out: Path | None,
    with_report: bool,
    dry_run: bool,
    estimate: bool,
    quiet: bool,
    reporter_names: tuple[str, ...],
    as_json: bool,
    plugin_files: tuple[Path, ...],
    debug: bool,
    **shorthands: Any,
) -> int:
    """Train what CONFIG describes, into a fresh run directory.

    \b
    genophen run examples/mnist.toml
    genophen run examples/mnist.toml --set training.rounds=15 --seed 1 --out runs/mine
    """
    resolved, plugins = resolve(config, assignments, shorthands, plugin_files)
    chosen = reporters(plugins, reporter_names, quiet)
    if dry_run or estimate:
        _dry_run(resolved, plugins, out, as_json, estimate)
        return 0
    from genophen.training.start import run_config

    directory, result = run_config(resolved, plugins, config.stem, out, chosen, say)
    code = conclude(result, directory.path, as_json, plugin_files)
    if with_report:
        (say if as_json else show)(f"report               {_write_report(directory.path, plugins)}")
    return code


def _write_report(directory: Path, plugins: Plugins) -> Path:
    from genophen.report.page import PageOptions, write_report

    target = directory / "report.html"
    write_report([directory], target, plugins, PageOptions(), lambda note: None)
    return target


def _dry_run(config: Config, plugins: Plugins, out: Path | None, as_json: bool, estimate: bool) -> None:
    from genophen.cli.params import describe, print_description
    from genophen.storage.rundir import check_free
    from genophen.training.trial import lay_out

    if out is not None:
        check_free(out)
    trial = lay_out(config, plugins)
    trial.check_network()
    trial.check_optimizer()
    trial.check_space(out or Path())  # below the working directory where no folder is named
    if excess := trial.phenotype.excess():
        say(excess)
    description = describe(trial)
    pace = _measured(config, plugins) if estimate else None
    if as_json:
        print_json(
            {"config": config.to_toml(), **description, **({"seconds": pace.seconds()} if pace else {})}
        )
        return
    show(config.to_toml())
    print_description(description)
    unread = "" if pace or trial.data_was_read else "; the data was not read"
    show(f"\nNothing was trained or written{unread}." if not pace else f"\n{pace}. Nothing of it was kept.")


def _measured(config: Config, plugins: Plugins) -> Pace:
    from genophen.training.pace import measure_pace

    say("taking a few steps, to tell how long a round is")
    return measure_pace(config, plugins, say)

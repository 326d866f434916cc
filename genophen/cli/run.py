"""`genophen run`: train what a config describes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genophen.cli.common import (
    config_options,
    data_dir_option,
    device_option,
    json_option,
    plugin_options,
    print_json,
    resolve,
    say,
    show,
)

if TYPE_CHECKING:
    from genophen.config import Config
    from genophen.plugins import Plugins


@click.command(no_args_is_help=True)
@config_options
@device_option
@data_dir_option
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Run directory, absent or empty.")
@click.option("--dry-run", is_flag=True, help="Check all but the data, print the resolved config.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--reporter", "reporter_names", multiple=True, metavar="NAME", help="Default: console.")
@json_option
@plugin_options
def run(
    config: Path,
    assignments: tuple[str, ...],
    out: Path | None,
    dry_run: bool,
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
    names = () if quiet else reporter_names or ("console",)
    reporters = [plugins.reporter(name, say) for name in names]
    if dry_run:
        _dry_run(resolved, plugins, out, as_json)
        return 0
    from genophen.training import run_config

    directory, result = run_config(resolved, plugins, config.stem, out, reporters, say)
    if as_json:
        print_json(result)
    else:
        _print_summary(result, directory.path)
    return _exit_code(result)


def _dry_run(config: Config, plugins: Plugins, out: Path | None, as_json: bool) -> None:
    from genophen.cli.params import describe, print_description
    from genophen.experiment import build_phenotype, check_output, choose_device
    from genophen.rundir import check_free

    if out is not None:
        check_free(out)
    choose_device(config.training.device)
    architecture, phenotype = build_phenotype(config, plugins)
    check_output(architecture, phenotype, config.architecture.name)
    description = describe(config, phenotype)
    if as_json:
        print_json({"config": config.to_toml(), **description})
        return
    show(config.to_toml())
    print_description(description)
    show("\nNothing was trained or written; the data was not read.")


def _print_summary(result: dict[str, Any], directory: Path) -> None:
    status = result["status"]
    reason = f": {result['stop_reason']}" if result["stop_reason"] else ""
    show(f"{status}{reason}, {result['rounds']} rounds in {result['wall_seconds']:.1f} s")
    if result["validation_accuracy"] is not None:
        show(f"validation accuracy  {result['validation_accuracy']:.2%} (round {result['best_round']})")
    if result["test_accuracy"] is not None:
        show(f"test accuracy        {result['test_accuracy']:.2%}")
    show(f"run directory        {directory}")
    if status == "diverged":
        say("The training diverged: try a lower learning rate or gradient clipping (clip_norm).")
    elif result["test_accuracy"] is not None and sys.stderr.isatty():
        say(f"Next: genophen evaluate {directory}")


def _exit_code(result: dict[str, Any]) -> int:
    if result["status"] == "diverged":
        return 3
    if result["status"] == "interrupted":
        return 128 + int(result["signal"])
    return 0

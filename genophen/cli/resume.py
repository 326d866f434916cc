"""`genophen resume`: go on with an interrupted run, or give a completed one more rounds."""

from __future__ import annotations

from pathlib import Path

import click

from genophen.cli.common import (
    conclude,
    data_dir_option,
    device_option,
    json_option,
    plugin_options,
    reporter_options,
    reporters,
    resolve_run,
    say,
)
from genophen.cli.completion import run_directories


@click.command(no_args_is_help=True)
@click.argument("directory", type=click.Path(path_type=Path), shell_complete=run_directories)
@click.option("--rounds", type=click.IntRange(min=1), metavar="N", help="Train N rounds in all.")
@click.option("--checkpoint", default="", metavar="NAME", help="Go on from DIRECTORY/checkpoints/NAME.")
@click.option("--force", is_flag=True, help="Go on although plugins, data or settings have changed.")
@device_option
@data_dir_option
@reporter_options
@json_option
@plugin_options
def resume(
    directory: Path,
    rounds: int | None,
    checkpoint: str,
    force: bool,
    device: str | None,
    data_dir: Path | None,
    quiet: bool,
    reporter_names: tuple[str, ...],
    as_json: bool,
    plugin_files: tuple[Path, ...],
    debug: bool,
) -> int:
    """Go on with the run in DIRECTORY from its last checkpoint, as if it had not been interrupted.

    A run that is over is left as it is: its result is printed again, with its exit code. More rounds than it
    had extend it; schedules over all rounds (one-cycle, cosine) are then laid out anew over the new number.

    \b
    genophen resume runs/20260101-120000-mnist-1a2b3c
    genophen resume runs/20260101-120000-mnist-1a2b3c --rounds 30
    """
    from genophen.storage.rundir import RunDirectory
    from genophen.training.resume import ResumeOptions, resume_run

    run = RunDirectory.open(directory)
    assignments = () if rounds is None else (f"training.rounds={rounds}",)
    shorthands = {"device": device, "data_dir": data_dir}
    config, plugins = resolve_run(run, assignments, shorthands, plugin_files)
    chosen = reporters(plugins, reporter_names, quiet)
    result = resume_run(run, config, plugins, ResumeOptions(checkpoint, force), chosen, say)
    return conclude(result, directory, as_json, plugin_files)

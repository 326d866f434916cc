"""`genophen evaluate`: measure a trained run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genophen.cli.common import (
    data_dir_option,
    device_option,
    json_option,
    plugin_options,
    print_json,
    resolve,
    say,
    show,
)
from genophen.cli.completion import run_directories

if TYPE_CHECKING:
    from genophen.rundir import RunDirectory


@click.command(no_args_is_help=True)
@click.argument("directory", type=click.Path(path_type=Path), shell_complete=run_directories)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Images to measure on.",
)
@device_option
@data_dir_option
@json_option
@plugin_options
def evaluate(
    directory: Path,
    split: str,
    device: str | None,
    data_dir: Path | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
    debug: bool,
) -> None:
    """Load the best weights of the run in DIRECTORY, verify them, and measure their accuracy.

    \b
    genophen evaluate runs/20260101-120000-mnist-1a2b3c
    """
    from genophen.experiment import assemble
    from genophen.rundir import RunDirectory, load_state

    run = RunDirectory.open(directory)
    tensors, values = run.load_best()
    config, plugins = resolve(run.config, (), {"device": device, "data_dir": data_dir}, plugin_files)
    experiment = assemble(config, plugins, say)
    load_state(experiment.phenotype, tensors, run.best)
    _compare_data(run, experiment.data_sha256)
    measured = experiment.evaluate(split)
    answer: dict[str, Any] = {
        "directory": str(directory),
        "split": split,
        "images": len(experiment.split(split)),
        "round": values["round"],
        "loss": measured.loss,
        "accuracy": measured.accuracy,
    }
    if as_json:
        print_json(answer)
    else:
        show(f"{split} accuracy  {measured.accuracy:.2%} on {answer['images']:,} images")
        show(f"{split} loss      {measured.loss:.4f} (weights of round {values['round']})")


def _compare_data(run: RunDirectory, sha256: str) -> None:
    """Say so where the data set is not the one that the run was trained on."""
    from genophen.records import read_environment

    try:
        trained_on = read_environment(run.environment)["dataset"]["sha256"]
    except (OSError, ValueError):
        say(f"{run.environment} cannot be read: whether the data is the same is not known")
        return
    if trained_on != sha256:
        say("The data set is not the one that this run was trained on (its SHA-256 differs).")

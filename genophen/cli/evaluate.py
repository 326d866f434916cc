"""`genophen evaluate`: measure a trained run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from genophen.cli.common import (
    data_dir_option,
    device_option,
    json_option,
    plugin_options,
    print_json,
    resolve_run,
    say,
    show,
)
from genophen.cli.completion import run_directories

if TYPE_CHECKING:
    from genophen.contracts.task import SplitName


@click.command(no_args_is_help=True)
@click.argument("directory", type=click.Path(path_type=Path), shell_complete=run_directories)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="What to measure on.",
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
    """Load the best weights of the run in DIRECTORY, verify them, and measure them again.

    \b
    genophen evaluate runs/20260101-120000-mnist-1a2b3c
    """
    from genophen.storage.rundir import RunDirectory
    from genophen.training.trained import best_experiment, data_difference

    run = RunDirectory.open(directory)
    config, plugins = resolve_run(run, (), {"device": device, "data_dir": data_dir}, plugin_files)
    experiment, best_round = best_experiment(run, config, plugins, say)
    task = experiment.task
    if difference := data_difference(run, task.digest()):
        say(difference)
    scores, measure = experiment.evaluate(cast("SplitName", split)), task.measured()
    answer: dict[str, Any] = {
        "directory": str(directory),
        "split": split,
        "images": task.sizes().get(split),
        "round": best_round,
        "loss": scores.loss,
        **measure.as_record(),
        "score": scores.value,
        measure.key: measure.own(scores.value),
        **scores.extras,
    }
    if as_json:
        print_json(answer)
        return
    heading = f"{split} {measure.title}"
    over = f" on {answer['images']:,} {task.inputs}" if answer["images"] else ""
    show(f"{heading}  {measure.shown(scores.value)}{over}")
    if scores.loss is None:
        show(f"weights of round {best_round}")
    else:
        show(f"{f'{split} loss':<{len(heading)}}  {scores.loss:.4f} (weights of round {best_round})")

"""`genophen generate`: text from a trained run."""

from __future__ import annotations

import math
from pathlib import Path

import click

from genophen.cli.common import data_dir_option, json_option, plugin_options, print_json, resolve_run, say
from genophen.cli.completion import run_directories
from genophen.cli.streams import lost_output
from genophen.errors import printable


def _finite(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is no temperature; allowed: numbers from 0")
    return value


@click.command(no_args_is_help=True)
@click.argument("directory", type=click.Path(path_type=Path), shell_complete=run_directories)
@click.option("--prompt", metavar="TEXT", help="What the text begins with (default: a new line).")
@click.option(
    "--length", type=click.IntRange(min=1), default=500, show_default=True, help="Symbols to be written."
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    callback=_finite,
    help="Below 1: likelier symbols; 0: the likeliest.",
)
@click.option(
    "--seed", type=click.IntRange(min=0, max=2**63 - 1), default=0, show_default=True, help="Of the draws."
)
@data_dir_option
@json_option
@plugin_options
def generate(
    directory: Path,
    prompt: str | None,
    length: int,
    temperature: float,
    seed: int,
    data_dir: Path | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
    debug: bool,
) -> None:
    """Let the best network of the run in DIRECTORY go on with a text, symbol by symbol.

    The run's task has to be one that tells the next symbol, such as next-token. The text is written as it
    comes, the prompt first.

    \b
    genophen generate runs/20260101-120000-shakespeare-1a2b3c --prompt "ROMEO:" --temperature 0.8
    """
    from genophen.storage.rundir import RunDirectory
    from genophen.training.generating import check_prompt, first_prompt, generated, writer

    run = RunDirectory.open(directory)
    config, plugins = resolve_run(run, (), {"data_dir": data_dir}, plugin_files)
    phenotype, symbols, best_round = writer(run, config, plugins, say)
    beginning = first_prompt(symbols) if prompt is None else prompt
    check_prompt(beginning, symbols)
    text = generated(phenotype, symbols, beginning, length, temperature, seed)
    if as_json:
        settings = {"prompt": beginning, "temperature": temperature, "seed": seed, "round": best_round}
        print_json({**settings, "text": "".join(text)})
        return
    click.echo(printable(beginning), nl=False)
    for symbol in text:
        click.echo(printable(symbol), nl=False)
        if lost_output():  # nobody reads on
            return
    click.echo()

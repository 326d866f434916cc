"""Options and steps that several subcommands share."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from genophen.cli.completion import plugin_names
from genophen.cli.streams import dispensable
from genophen.contracts.measure import Measure
from genophen.errors import counted, printable

if TYPE_CHECKING:
    from genophen.config.config import Config
    from genophen.contracts.reporter import Reporter
    from genophen.plugins.registry import Plugins
    from genophen.storage.guard import GuardedPath
    from genophen.storage.rundir import RunDirectory

F = TypeVar("F", bound=Callable[..., Any])

_DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
_PLUGIN = click.option(
    "--plugin",
    "plugin_files",
    multiple=True,
    metavar="FILE.py",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Load a single-file plugin; repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
device_option = click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, ...")
data_dir_option = click.option(
    "--data-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the data sets (also: GENOPHEN_DATA).",
)

_QUIET = click.option("--quiet", "-q", is_flag=True, help="No progress.")
_REPORTER = click.option(
    "--reporter",
    "reporter_names",
    multiple=True,
    metavar="NAME",
    help="Default: console.",
    shell_complete=plugin_names("reporter"),
)

#: Config key behind each shorthand option.
SHORTHANDS = {
    "task": "task.name",
    "architecture": "architecture.name",
    "genotype": "genotype.name",
    "dataset": "dataset.name",
    "optimizer": "optimizer.name",
    "seed": "training.seed",
    "device": "training.device",
    "data_dir": "dataset.data_dir",
}


def plugin_options(command: F) -> F:
    """--plugin and --debug."""
    return _PLUGIN(_DEBUG(command))


def reporter_options(command: F) -> F:
    """--quiet and --reporter."""
    return _QUIET(_REPORTER(command))


def _plugin_name(kind: str, help_text: str) -> Callable[[F], F]:
    """The option that selects a kind's plugin."""
    return click.option(f"--{kind}", metavar="NAME", help=help_text, shell_complete=plugin_names(kind))


def config_options(command: F) -> F:
    """The config's path, --set and the shorthands."""
    for option in (
        click.option("--seed", type=click.IntRange(min=0), help="Seed of every random draw."),
        _plugin_name("optimizer", "Optimizer; its settings are in [optimizer.NAME]."),
        _plugin_name("dataset", "Data set; its settings are in [dataset.NAME]."),
        _plugin_name("genotype", "Genotype; its settings are in [genotype.NAME]."),
        _plugin_name("architecture", "Architecture of the main network."),
        _plugin_name("task", "What is trained for (default: classification)."),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="A.B=VALUE",
            help="Override a setting, VALUE as in TOML, or bare text; repeatable.",
        ),
        click.argument("config", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


def read_config(
    path: Path | GuardedPath, assignments: tuple[str, ...], shorthands: Mapping[str, Any]
) -> dict[str, Any]:
    """The tables of a config file with the command line's overrides applied."""
    from genophen.config.toml import assign, override, read_toml

    tables = read_toml(path)
    for name, value in shorthands.items():
        if value is not None:
            assign(tables, SHORTHANDS[name].split("."), str(value) if isinstance(value, Path) else value)
    override(tables, assignments)
    return tables


def load_all_plugins(files: tuple[Path, ...], *, keep_going: bool = False) -> Plugins:
    """Every plugin, with one line on stderr for each that failed or misbehaved (see `load_plugins`)."""
    from genophen.plugins.loading import load_plugins

    plugins = load_plugins(files, keep_going=keep_going)
    for line in (*map(str, plugins.failures), *plugins.notes):
        say(line)
    return plugins


def resolve(
    path: Path | GuardedPath,
    assignments: tuple[str, ...],
    shorthands: Mapping[str, Any],
    plugin_files: tuple[Path, ...],
) -> tuple[Config, Plugins]:
    """The validated config and the plugins; the config's notes go to stderr."""
    from genophen.config.config import resolve_config

    tables = read_config(path, assignments, shorthands)
    plugins = load_all_plugins(plugin_files)
    config = resolve_config(tables, plugins, str(path))
    for note in config.notes:
        say(note)
    return config, plugins


def resolve_run(
    run: RunDirectory,
    assignments: tuple[str, ...],
    shorthands: Mapping[str, Any],
    plugin_files: tuple[Path, ...],
) -> tuple[Config, Plugins]:
    """The same of a run directory's config: errors name the plugin files that the run used."""
    from genophen.config.recorded import plugin_files_named

    with plugin_files_named(run):
        return resolve(run.config, assignments, shorthands, plugin_files)


def reporters(plugins: Plugins, names: tuple[str, ...], quiet: bool) -> list[Reporter]:
    """The reporters of those names: the console's where none is named, none at all where quiet."""
    return [plugins.reporter(name, say) for name in (() if quiet else names or ("console",))]


def conclude(
    result: dict[str, Any], directory: Path, as_json: bool, plugin_files: tuple[Path, ...] = ()
) -> int:
    """Print what came out of a run, and give the exit code."""
    status = result["status"]
    if as_json:
        print_json(result)
    else:
        with dispensable():  # all of it is in the run directory
            _print_summary(result, directory)
    if status == "diverged":
        say("The training diverged: try a lower learning rate or gradient clipping (clip_norm).")
        return 3
    if status == "interrupted":
        say(f"Interrupted. To go on: {_command_line('resume', directory, plugin_files)}")
        return 128 + int(result["signal"])
    if sys.stderr.isatty():
        _say_next(result, directory, plugin_files)
    return 0


def _say_next(result: dict[str, Any], directory: Path, plugin_files: tuple[Path, ...]) -> None:
    """What can be done with a run that is over."""
    steps = [["evaluate"]] if result["test_score"] is not None else []
    steps.append(["report"])
    if result["status"] == "completed":  # patience or a budget ended the others: more rounds would not
        steps.append(["resume", "--rounds", str(2 * result["rounds"])])
    say("Next:")
    for name, *options in steps:
        say(f"  {_command_line(name, directory, plugin_files, *options)}")


def _command_line(name: str, directory: Path, plugin_files: tuple[Path, ...], *options: str) -> str:
    files = [word for file in plugin_files for word in ("--plugin", str(file))]
    return shlex.join(["genophen", name, str(directory), *options, *files])


def _print_summary(result: dict[str, Any], directory: Path) -> None:
    reason = f": {result['stop_reason']}" if result["stop_reason"] else ""
    show(
        f"{result['status']}{reason}, {counted(result['rounds'], 'round')} in {result['wall_seconds']:.1f} s"
    )
    measure = Measure.of(result)
    width = len(f"validation {measure.title}")
    if result["validation_score"] is not None:
        score = measure.shown(result["validation_score"])
        show(f"validation {measure.title}  {score} (round {result['best_round']})")
    if result["test_score"] is not None:
        show(f"{f'test {measure.title}':<{width}}  {measure.shown(result['test_score'])}")
    show(f"{'run directory':<{width}}  {directory}")


def say(message: str) -> None:
    """A message to the user, on stderr."""
    click.echo(printable(message), err=True)


def show(text: str) -> None:
    """What was asked for, on stdout."""
    click.echo(printable(text))


def print_json(value: Any) -> None:
    """The data that was asked for, on stdout."""
    click.echo(json.dumps(value, indent=2))

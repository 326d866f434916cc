"""`genophen sweep`: many runs from one file, one table."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genophen.cli.common import (
    SHORTHANDS,
    data_dir_option,
    device_option,
    json_option,
    load_all_plugins,
    plugin_options,
    print_json,
    say,
    show,
)

if TYPE_CHECKING:
    from genophen.contracts.executor import Executor, Outcome
    from genophen.plugins.registry import Plugins
    from genophen.sweep.sweep import Trial


@click.command(no_args_is_help=True)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the sweep."
)
@click.option(
    "--seed", "seeds", multiple=True, type=int, metavar="K", help="Run this seed alone; repeatable."
)
@click.option("--only", multiple=True, metavar="ROW", help="Run this row alone; repeatable.")
@click.option(
    "--set", "assignments", multiple=True, metavar="A.B=VALUE", help="Override a setting in every row."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trials at a time.")
@click.option(
    "--ray", "ray_address", metavar="ADDRESS", help="Run on a Ray cluster; 'local' starts one here."
)
@click.option(
    "--executor", "executor_name", metavar="NAME", help="Who runs the trials (default: local, or ray)."
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write DIR/NAME.json and .md, with what is needed to repeat it; seeds that they have are kept.",
)
@click.option("--title", metavar="TEXT", help="Heading of the results.")
@device_option
@data_dir_option
@json_option
@plugin_options
def sweep(
    file: Path,
    out: Path,
    only: tuple[str, ...],
    seeds: tuple[int, ...],
    assignments: tuple[str, ...],
    jobs: int,
    ray_address: str | None,
    executor_name: str | None,
    results: Path | None,
    title: str | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
    debug: bool,
    **shorthands: Any,
) -> int:
    """Run every row of FILE with every seed, and end in one table.

    A sweep that was interrupted goes on with the same --out. Each trial is an ordinary run directory,
    DIR/trials/ROW-seedK; the table is in DIR as table.md, table.csv and table.json too.

    \b
    genophen sweep examples/tables/table2_mnist.toml --out runs/table2 --only Hyper4_4
    """
    from genophen.storage.files import write_file, writing
    from genophen.sweep.baselines import with_baselines
    from genophen.sweep.file import read_sweep
    from genophen.sweep.results import check_same_settings, read_results, write_results
    from genophen.sweep.sweep import plan, run_sweep, select

    plugins = load_all_plugins(plugin_files)
    definition = with_baselines(read_sweep(file, [*_as_assignments(shorthands), *assignments]), plugins)
    every = plan(definition, out, plugins)
    trials = select(every, only, seeds)
    earlier = read_results(results, definition.name) if results else []
    if results:
        check_same_settings(earlier, every, results / f"{definition.name}.json")
    failures: dict[str, str] = {}
    executor = _executor(plugins, executor_name, jobs, ray_address)
    total = sum(trial.result() is None for trial in trials)
    say(f"{definition.title}: {len(trials)} trials, {total} to run")

    def report(trial: Trial, outcome: Outcome) -> None:
        if outcome.error or outcome.value == "interrupted":
            failures[trial.directory.name] = outcome.error or outcome.value
        say(f"{trial.directory.name}: {_outcome_text(trial, outcome)}")

    signal_number = run_sweep(definition, trials, out, executor, plugin_files, report)
    from genophen.sweep.table import as_csv, as_markdown, as_text, sweep_rows

    lines = sweep_rows(definition.rows, every, failures, earlier)
    if results:
        write_results(results, definition.name, title or definition.title, lines, every, _command_line())
    for name, text in (
        ("table.md", as_markdown(lines)),
        ("table.csv", as_csv(lines)),
        ("table.json", json.dumps(lines, indent=2) + "\n"),
    ):
        with writing(out / name, "make room, or the folder writable"):
            write_file(out / name, text.encode(errors="backslashreplace"))
    if as_json:
        print_json(lines)
    else:
        show(as_text(lines))
    if signal_number:
        say(f"Interrupted. The same command goes on: genophen sweep {file} --out {out}")
        return 128 + signal_number
    return 1 if failures else 0


def _command_line() -> str:
    """The command as it was given."""
    return shlex.join(["genophen", *sys.argv[1:]])


def _as_assignments(shorthands: dict[str, Any]) -> list[str]:
    given = {name: str(value) for name, value in shorthands.items() if value is not None}
    return [f"{SHORTHANDS[name]}={json.dumps(text, ensure_ascii=False)}" for name, text in given.items()]


def _executor(plugins: Plugins, name: str | None, jobs: int, ray_address: str | None) -> Executor:
    name = name or ("local" if ray_address is None else "ray")
    plugin = plugins.get("executor", name)
    with plugins.blame("executor", name):
        executor: Executor = plugin.cls(jobs, ray_address)
    return executor


def _outcome_text(trial: Trial, outcome: Outcome) -> str:
    if outcome.error:
        return f"failed: {outcome.error}"
    result = trial.result()
    note = f"; {outcome.note}" if outcome.note else ""
    if result is None or result["test_score"] is None:
        return f"{outcome.value}{note}"
    return f"test {trial.measure.shown(result['test_score'])} ({result['wall_seconds']:.0f} s){note}"

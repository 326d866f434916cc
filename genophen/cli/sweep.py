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
from genophen.cli.sweep_live import SweepDisplay

if TYPE_CHECKING:
    from genophen.plugins.registry import Plugins
    from genophen.sweep.file import Sweep


@click.command(no_args_is_help=True)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the sweep; required.")
@click.option(
    "--dry-run", is_flag=True, help="Check every row but for its data, list rows and parameters, run nothing."
)
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
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
    out: Path | None,
    dry_run: bool,
    quiet: bool,
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
    genophen sweep examples/tables/table2_mnist.toml --dry-run
    genophen sweep examples/tables/table2_mnist.toml --out runs/table2 --only Hyper4_4
    """
    from genophen.sweep.file import read_sweep

    if dry_run:
        given = read_sweep(file, [*_as_assignments(shorthands), *assignments])
        _dry_run(given, out, only, seeds, load_all_plugins(plugin_files), as_json)
        return 0
    if out is None:
        raise click.UsageError(
            "Missing option '--out': the folder that the sweep is run in. --dry-run needs none."
        )
    from genophen.sweep.table import as_text
    from genophen.sweep.tabulated import Publication, Sitting, not_shown, run_to_table

    plugins = load_all_plugins(plugin_files)
    publication = None if results is None else Publication(results, title or "", _command_line())
    name = executor_name or ("local" if ray_address is None else "ray")
    display = SweepDisplay(jobs)
    done = run_to_table(
        read_sweep(file, [*_as_assignments(shorthands), *assignments]),
        out,
        plugins,
        plugins.executor(name, jobs, ray_address),
        Sitting(only, seeds, plugin_files, publication, not_shown if quiet else display.shown),
        display.say,
    )
    if as_json:
        print_json(done.lines)
    else:
        show(as_text(done.lines))
    if done.signal:
        say(f"Interrupted. The same command goes on: genophen sweep {file} --out {out}")
        return 128 + done.signal
    return 1 if done.failures else 0


def _dry_run(
    sweep: Sweep,
    out: Path | None,
    only: tuple[str, ...],
    seeds: tuple[int, ...],
    plugins: Plugins,
    as_json: bool,
) -> None:
    """Print what would be run."""
    from genophen.errors import counted
    from genophen.sweep.baselines import with_baselines
    from genophen.sweep.rehearsal import rehearsal_text, rehearse
    from genophen.sweep.sweep import plan, select

    # Nothing is there, and nothing is written there, where no folder is named.
    trials = select(plan(with_baselines(sweep, plugins), out or Path("(no folder)"), plugins), only, seeds)
    lines = rehearse(trials, plugins)
    if as_json:
        print_json(lines)
        return
    show(rehearsal_text(lines))
    done = sum(len(line["done"]) for line in lines)
    show(
        f"\n{counted(len(trials), 'trial')}, {len(trials) - done:,} to run. "
        "Nothing was trained or written; data was read only where nothing else tells a network's shapes."
    )


def _command_line() -> str:
    """The command as it was given."""
    return shlex.join(["genophen", *sys.argv[1:]])


def _as_assignments(shorthands: dict[str, Any]) -> list[str]:
    given = {name: str(value) for name, value in shorthands.items() if value is not None}
    return [f"{SHORTHANDS[name]}={json.dumps(text, ensure_ascii=False)}" for name, text in given.items()]

"""`genophen runs`: what has been trained, one line each."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genophen.cli.common import json_option, print_json, say, show

if TYPE_CHECKING:
    from genophen.storage.found import Found

#: Where `genophen run` puts what it trains, unless it is told otherwise.
RUNS = Path("runs")
#: A unit of age, and how many seconds one is.
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=RUNS, metavar="[DIR]")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="The N newest alone.")
@json_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def runs(directory: Path, last: int | None, as_json: bool, debug: bool) -> None:
    """List the runs and sweeps in DIR (default: runs), the last changed first.

    A sweep is one line; DIR/SWEEP/trials lists its runs. `genophen report --last N` and `genophen compare
    --last N` take the N newest of runs/.

    \b
    genophen runs
    genophen runs runs/table2/trials --json
    """
    from genophen.errors import counted
    from genophen.storage.found import find_runs

    found = find_runs(directory)
    shown = found[:last]
    if as_json:
        print_json([_as_json(each) for each in shown])
        return
    if not found:
        say(f"no runs in {directory}: `genophen run CONFIG` makes one")
        return
    now = time.time()
    lines = [
        (each.status, each.score, _age(now - each.changed), _what(each), str(each.directory))
        for each in shown
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        show("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if len(shown) < len(found):
        say(f"and {counted(len(found) - len(shown), 'older one')}")


last_option = click.option(
    "--last", type=click.IntRange(min=1), metavar="N", help="The N newest runs and sweeps of runs/, too."
)


def with_last(directories: tuple[Path, ...], number: int | None) -> tuple[Path, ...]:
    """The folders given, and after them the N newest below `runs/`.

    Raises:
        ConfigError: where there is none.
        UsageError: where neither a folder nor a number is given.
    """
    from genophen.errors import ConfigError
    from genophen.storage.found import find_runs

    if number is None:
        if not directories:
            raise click.UsageError("Missing argument 'DIR...', or --last N.")
        return directories
    found = [each.directory for each in find_runs(RUNS) if each.status != "unreadable"]
    if not found:
        raise ConfigError(
            f"cannot take the last {number} of {RUNS}",
            found="no runs there",
            allowed="folders that `genophen run` and `genophen sweep` wrote to",
            next_step="name them, or `cd` to where runs/ is",
        )
    return (*directories, *found[:number])


def _what(found: Found) -> str:
    parts = [found.what or found.note]
    if found.seed is not None:
        parts.append(f"seed {found.seed}")
    if found.status in ("running", "unfinished", "interrupted") and found.rounds is not None:
        parts.append(f"round {found.rounds}")
    return ", ".join(part for part in parts if part)


def _age(seconds: float) -> str:
    """How long ago, in the largest unit of which there is one whole."""
    unit, size = next(((u, s) for u, s in _UNITS if seconds >= s), _UNITS[-1])
    return f"{max(0, int(seconds // size))} {unit}"


def _as_json(found: Found) -> dict[str, Any]:
    values = asdict(found) | {"directory": str(found.directory)}
    measure = values.pop("measure")
    changed = datetime.fromtimestamp(found.changed, UTC).isoformat(timespec="seconds")
    return values | {"measure": measure and measure["name"], "changed": changed}

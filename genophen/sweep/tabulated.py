"""A sweep from its file to its table: what `genophen sweep` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genophen.contracts.executor import Executor, Outcome
from genophen.errors import counted
from genophen.plugins.registry import Plugins
from genophen.storage.files import write_file, writing
from genophen.sweep.baselines import with_baselines
from genophen.sweep.file import Sweep
from genophen.sweep.results import check_same_settings, read_results, write_results
from genophen.sweep.sweep import Trial, plan, run_sweep, select
from genophen.sweep.table import as_csv, as_markdown, sweep_rows


@dataclass(frozen=True)
class Publication:
    """Where a sweep's results are published, beside its own folder."""

    folder: Path
    #: Heading; the sweep's own title where it is empty.
    title: str
    #: The command that made them.
    command: str


def not_shown(trials: Sequence[Trial]) -> AbstractContextManager[None]:
    """Shows nothing."""
    return nullcontext()


@dataclass(frozen=True)
class Sitting:
    """What of a sweep is to be run now, and where its results are published, if they are."""

    #: Rows and seeds; all of them where none is named.
    only: Sequence[str] = ()
    seeds: Sequence[int] = ()
    plugin_files: Sequence[Path] = ()
    publication: Publication | None = None
    #: Shows how the trials of the sitting go on while they do.
    shown: Callable[[Sequence[Trial]], AbstractContextManager[None]] = not_shown


@dataclass(frozen=True)
class Tabulated:
    """A sweep's table, and how the sitting ended."""

    lines: Sequence[Mapping[str, Any]]
    #: What became of trials that failed or were interrupted, by the names of their folders.
    failures: Mapping[str, str]
    #: The number of the signal that interrupted the sweep, or 0.
    signal: int


def run_to_table(
    sweep: Sweep,
    out: Path,
    plugins: Plugins,
    executor: Executor,
    sitting: Sitting,
    notify: Callable[[str], None] = lambda text: None,
) -> Tabulated:
    """Run those trials of the sitting that are not over, and write the table of all.

    The table is written to `out` as table.md, table.csv and table.json, and published where that is asked
    for; results that were published earlier are kept.

    Raises:
        ConfigError: for rows, seeds or baselines that there are not, and where what was run earlier, here or
            in the published results, had other settings.
    """
    sweep = with_baselines(sweep, plugins)
    every = plan(sweep, out, plugins)
    trials = select(every, sitting.only, sitting.seeds)
    publication = sitting.publication
    earlier: Sequence[Mapping[str, Any]] = []
    if publication is not None:
        earlier = read_results(publication.folder, sweep.name)
        check_same_settings(earlier, every, publication.folder / f"{sweep.name}.json")
    total = sum(trial.result() is None for trial in trials)
    notify(f"{sweep.title}: {counted(len(trials), 'trial')}, {total:,} to run")
    failures: dict[str, str] = {}

    def note(trial: Trial, outcome: Outcome) -> None:
        if outcome.error or outcome.value == "interrupted":
            failures[trial.directory.name] = outcome.error or outcome.value
        notify(f"{trial.directory.name}: {_what_became_of(trial, outcome)}")

    with sitting.shown(trials):
        signal = run_sweep(sweep, trials, out, executor, sitting.plugin_files, note)
    lines = sweep_rows(sweep.rows, every, failures, earlier)
    if publication is not None:
        title = publication.title or sweep.title
        write_results(publication.folder, sweep.name, title, lines, publication.command)
    for name, text in (
        ("table.md", as_markdown(lines)),
        ("table.csv", as_csv(lines)),
        ("table.json", json.dumps(lines, indent=2) + "\n"),
    ):
        with writing(out / name, "make room, or the folder writable"):
            write_file(out / name, text.encode(errors="backslashreplace"))
    return Tabulated(lines, failures, signal)


def _what_became_of(trial: Trial, outcome: Outcome) -> str:
    if outcome.error:
        return f"failed: {outcome.error}"
    result = trial.result()
    note = f"; {outcome.note}" if outcome.note else ""
    if result is None or result["test_score"] is None:
        return f"{outcome.value}{note}"
    return f"test {trial.measure.shown(result['test_score'])} ({result['wall_seconds']:.0f} s){note}"

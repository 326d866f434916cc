"""What statistics need of a finished run, read from its directory.

Every value is checked: files may have been edited by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genophen.compare.grouping import GenotypeTitle, genotype_title
from genophen.config.config import PluginLookup
from genophen.config.recorded import config_of
from genophen.contracts.options import shown
from genophen.storage.reading import read_record, read_rows, unreadable
from genophen.storage.records import ENDED, Environment, MetricsRow, Result, TimingsRow
from genophen.storage.rundir import RunDirectory
from genophen.sweep.file import Row
from genophen.sweep.sweep import read_failure


@dataclass(frozen=True)
class FinishedRun:
    """A run that counts: it came to its end and has a test score."""

    directory: Path
    seed: int
    #: All that its result depends on, by dotted key, less the seed.
    settings: dict[str, Any]
    genotype: GenotypeTitle
    result: Result
    test_score: float
    environment: Environment
    #: The sweep and the row that it belongs to, if it does.
    sweep: Path | None = None
    row: Row | None = None


@dataclass(frozen=True)
class LeftOut:
    """A run that counts in no statistic, and why."""

    directory: Path
    seed: int
    reason: str
    #: None where no config tells.
    settings: dict[str, Any] | None = None
    genotype: GenotypeTitle | None = None
    sweep: Path | None = None
    row: Row | None = None


def read_run(directory: Path, plugins: PluginLookup) -> FinishedRun | LeftOut:
    """A run as its directory records it.

    Raises:
        ConfigError: for a folder that is no run directory, and a config that cannot be used.
        DamagedError: for a record that is not what genophen writes, with file and field.
    """
    files = RunDirectory.open(directory)
    config = config_of(files, plugins)
    seed, genotype = config.training.seed, genotype_title(config, plugins)
    settings = config.settings()
    del settings["training.seed"]
    if not files.result.is_file():
        return LeftOut(directory, seed, why_without_result(directory), settings, genotype)
    result = read_record(files.result, Result)
    choices = config.choices()
    recorded = {kind: getattr(result, kind) for kind in choices} | {"training.seed": result.seed}
    configured = {kind: choice.name for kind, choice in choices.items()} | {"training.seed": seed}
    for key, value in recorded.items():
        if value != configured[key]:
            raise unreadable(
                files.result, f"{key} {value!r}, where config.toml has {configured[key]!r}", "one run's files"
            )
    if result.status not in ENDED:
        return LeftOut(directory, seed, result.status, settings, genotype)
    if result.test_score is None or result.validation_score is None:
        raise unreadable(files.result, f"status {result.status!r} without a score", "test_score = 0.98")
    environment = read_record(files.environment, Environment)
    return FinishedRun(directory, seed, settings, genotype, result, result.test_score, environment)


def why_without_result(directory: Path) -> str:
    """What became of a run that left no `result.json`."""
    if failure := read_failure(directory):
        return f"failed: {failure}"
    return "unfinished" if directory.exists() else "not run"


def read_progress(directory: Path) -> tuple[list[MetricsRow], list[TimingsRow]]:
    """What a run recorded of each round, and how long each took; rounds stand in order, from the same one.

    Raises:
        DamagedError: for a row that is not what genophen writes, and rounds that are missing.
    """
    files = RunDirectory(directory)
    metrics = read_rows(files.metrics, MetricsRow)
    timings = read_rows(files.timings, TimingsRow)
    rounds = [row.round for row in metrics]
    if not rounds or rounds != sorted(set(rounds)):
        raise unreadable(files.metrics, f"the rounds {shown(rounds)}", "one row a round, in order")
    if rounds != [row.round for row in timings]:
        raise unreadable(files.timings, "other rounds than metrics.jsonl", "one row a round, in order")
    return metrics, timings

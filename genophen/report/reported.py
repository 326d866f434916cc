"""Runs, groups of them, and what they were measured on, as a report has them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genophen.compare.grouping import GenotypeTitle, sorted_into_groups
from genophen.config.config import DEFAULT_NAMES
from genophen.contracts.measure import ACCURACY, Measure
from genophen.errors import GenophenError
from genophen.storage.records import ENDED, Environment, MetricsRow, Result
from genophen.sweep.file import Published, Row


@dataclass(frozen=True)
class ReportRun:
    """One run as its directory tells. `status` is that of `result.json`, or running, failed, unfinished,
    or not run; `note` says more where there is more to say."""

    directory: Path
    seed: int | None
    status: str
    note: str = ""
    #: All that its result depends on, by dotted key, less the seed.
    settings: dict[str, Any] = field(default_factory=dict)
    genotype: GenotypeTitle | None = None
    config: str = ""
    result: Result | None = None
    environment: Environment | None = None
    rows: Sequence[MetricsRow] = ()
    #: The sweep and the row that it belongs to; a run that was given by itself has none.
    sweep: Path | None = None
    row: Row | None = None
    #: Why it cannot be read, where its status is `unreadable`.
    error: GenophenError | None = None

    @property
    def ranked(self) -> bool:
        return self.status in ENDED

    @property
    def task(self) -> str:
        """The task's name as its result has it; the usual one where there is none."""
        return DEFAULT_NAMES["task"] if self.result is None else self.result.task

    @property
    def measure(self) -> Measure | None:
        """What its scores are called; None where nothing is recorded."""
        if self.result is not None:
            return self.result.how()
        return None if self.environment is None else self.environment.task.how()

    @property
    def validation_score(self) -> float:
        """Of the best round; below any other where no round is recorded."""
        return max((s for row in self.rows if (s := row.validation_score) is not None), default=-math.inf)


@dataclass(frozen=True)
class ReportGroup:
    """The runs of one row of a sweep, or of one setting under several seeds."""

    name: str
    runs: tuple[ReportRun, ...]

    @property
    def ranked(self) -> list[ReportRun]:
        return [run for run in self.runs if run.ranked]

    @property
    def test_scores(self) -> list[float]:
        found = [run.result.test_score for run in self.ranked if run.result is not None]
        return [score for score in found if score is not None]

    @property
    def test_score(self) -> float | None:
        """Mean over the seeds that count; None where none does."""
        return statistics.fmean(self.test_scores) if self.test_scores else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return statistics.stdev(self.test_scores) if len(self.test_scores) > 1 else None

    @property
    def seconds(self) -> float:
        """Mean over the seeds that count."""
        return statistics.fmean(run.result.wall_seconds for run in self.ranked if run.result is not None)

    @property
    def result(self) -> Result | None:
        """That of the first run that counts, for what all of them have in common."""
        return next((run.result for run in self.ranked), None)

    @property
    def is_direct(self) -> bool:
        """Whether each of its weights is a parameter of its own."""
        return any(run.genotype.is_direct for run in self.runs if run.genotype is not None)

    @property
    def published(self) -> Published:
        row = self.runs[0].row
        return Published() if row is None else row.published


@dataclass(frozen=True)
class Source:
    """The runs that were measured on one thing, whose scores can be set beside each other."""

    #: The data set's name, or the task's where it uses none; with some of its digest where two share a name.
    name: str
    task: str
    #: What the scores are called.
    measure: Measure
    groups: list[ReportGroup]

    @property
    def runs(self) -> list[ReportRun]:
        return [run for group in self.groups for run in group.runs]

    @property
    def best(self) -> ReportRun | None:
        """The run that did best on the validation images, of those that count."""
        ranked = [run for run in self.runs if run.ranked]
        return max(ranked, key=lambda run: run.validation_score, default=None)


#: What a run is measured on: task, data set, and the digest of both together; empty where it is not known.
_Place = tuple[str, str, str]


def by_source(runs: Sequence[ReportRun]) -> list[Source]:
    """The runs by what they were measured on; those that have not begun are with others of their data set."""
    found: dict[_Place, list[ReportRun]] = {}
    for run in sorted(runs, key=lambda run: run.environment is None):  # stable: those that know come first
        task, dataset, digest = _measured_on(run)
        alike = [place for place in found if place[:2] == (task, dataset) or not (dataset or digest)]
        place = alike[0] if not digest and alike else (task, dataset, digest)
        found.setdefault(place, []).append(run)
    order = {id(run): index for index, run in enumerate(runs)}
    sources = []
    for (task, dataset, digest), each in found.items():
        each.sort(key=lambda run: order[id(run)])
        shared = [place for place in found if place[1] == dataset]
        name = f"{dataset or task} ({digest[:8]})" if len(shared) > 1 else dataset or task
        measure = next((run.measure for run in each if run.measure is not None), ACCURACY)
        groups = [ReportGroup(name, tuple(members)) for name, members in sorted_into_groups(each).items()]
        sources.append(Source(name, task, measure, groups))
    return sorted(sources, key=lambda source: order[id(source.runs[0])])


def _measured_on(run: ReportRun) -> _Place:
    if run.environment is not None:
        return run.environment.task.name, run.environment.dataset.name, run.environment.dataset.sha256
    tables = {} if run.row is None else run.row.tables
    named = {kind: tables.get(kind, {}).get("name", "") for kind in ("task", "dataset")}
    task = str(run.settings.get("task.name") or named["task"] or DEFAULT_NAMES["task"])
    return task, str(run.settings.get("dataset.name") or named["dataset"]), ""

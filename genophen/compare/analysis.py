"""From groups of runs to a comparison: a summary of each group, every pair, and what makes them unequal."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genophen.compare.cautions import cautions, unequal
from genophen.compare.groups import Group, differing, measure_of
from genophen.compare.statistics import (
    BOOTSTRAP_DRAWS,
    MIN_SEEDS,
    Interval,
    bootstrap_images,
    holm,
    paired_t_test,
    t_interval,
)
from genophen.compare.success import Success, success_of
from genophen.contracts.measure import Measure
from genophen.errors import ConfigError, nearest

#: Of a run, by its directory: on which test images it is right.
Correct = Mapping[Path, NDArray[np.bool_]]


@dataclass(frozen=True)
class GroupSummary:
    """One group over its seeds. Scores are in the comparison's measure; costs are means over seeds."""

    name: str
    n: int
    seeds: list[int]
    test_scores: dict[int, float]
    test_score_mean: float | None
    test_score_std: float | None
    test_score_interval: Interval | None
    validation_score_mean: float | None
    sample_evaluations_mean: float | None
    backward_samples_mean: float | None
    wall_seconds_mean: float | None
    kernel_parameters: int | None
    total_parameters: int | None
    searched_parameters: int | None
    directories: list[str]
    left_out: list[dict[str, Any]]
    #: Of tasks that candidates have episodes in; None of others.
    success: Success | None = None


@dataclass(frozen=True)
class Bootstrap:
    """The interval of a difference over draws of test images, the trained networks held fixed."""

    interval: Interval
    images: int
    seeds: list[int]
    draws: int


@dataclass(frozen=True)
class PairSummary:
    """Two groups: `difference` is first less second, over the seeds that both have."""

    first: str
    second: str
    seeds: list[int]
    difference: float | None
    interval: Interval | None
    p: float | None
    p_holm: float | None
    bootstrap: Bootstrap | None
    different_settings: list[str]
    cautions: list[str]
    #: Why no claim is made; empty where one is.
    no_claim: str


@dataclass(frozen=True)
class Comparison:
    #: What all scores are called, and how they are written.
    measure: Measure
    groups: list[GroupSummary]
    pairs: list[PairSummary]
    warnings: list[str]


def pairs_of(groups: Sequence[Group], baseline: str | None = None) -> list[tuple[Group, Group]]:
    """Every pair of groups that have a finished run, or each of them with the baseline.

    Groups that a sweep made as another's baselines are compared with that one alone.

    Raises:
        ConfigError: for a baseline that is no group, or has no finished run.
    """
    finished = [group for group in groups if group.runs]
    if baseline is None:
        others = [group for group in finished if not group.baseline_of]
        own = [(each, base) for each in others for base in finished if base.baseline_of == each.name]
        return [*own, *itertools.combinations(others, 2)]
    names = [group.name for group in finished]
    if baseline not in names:
        known = any(group.name == baseline for group in groups)
        raise ConfigError(
            f"cannot compare with the baseline {baseline!r}",
            found="no finished run of it" if known else "no group of that name",
            allowed="; ".join(names),
            next_step="finish its runs first" if known else nearest(baseline, names),
        )
    base = finished[names.index(baseline)]
    return [(group, base) for group in finished if group is not base]


def analyse(
    groups: Sequence[Group],
    pairs: Sequence[tuple[Group, Group]],
    correct: Correct,
    notes: Sequence[str] = (),
) -> Comparison:
    """Sum up the groups and compare the pairs.

    `notes` are further warnings. Runs without an entry in `correct` take no part in the bootstrap.
    """
    summaries = [_pair(first, second, correct) for first, second in pairs]
    corrected = iter(holm([pair.p for pair in summaries if pair.p is not None]))
    summaries = [pair if pair.p is None else replace(pair, p_holm=next(corrected)) for pair in summaries]
    summed = [_summary(group) for group in groups]
    return Comparison(measure_of(groups), summed, summaries, [*unequal(groups), *notes])


def _summary(group: Group) -> GroupSummary:
    runs = group.runs
    scores = [run.test_score for run in runs]
    parameters = runs[0].result.parameters if runs else None
    return GroupSummary(
        name=group.name,
        n=len(runs),
        seeds=[run.seed for run in runs],
        test_scores={run.seed: run.test_score for run in runs},
        test_score_mean=_mean(scores),
        test_score_std=statistics.stdev(scores) if len(runs) > 1 else None,
        test_score_interval=t_interval(scores),
        validation_score_mean=_mean(
            [value for run in runs if (value := run.result.validation_score) is not None]
        ),
        sample_evaluations_mean=_mean([run.result.sample_evaluations for run in runs]),
        backward_samples_mean=_mean([run.result.backward_samples for run in runs]),
        wall_seconds_mean=_mean([run.result.wall_seconds for run in runs]),
        kernel_parameters=parameters.kernel if parameters else None,
        total_parameters=parameters.total if parameters else None,
        searched_parameters=parameters.searched if parameters else None,
        directories=[str(run.directory) for run in runs],
        left_out=[
            {"directory": str(run.directory), "seed": run.seed, "reason": run.reason}
            for run in group.left_out
        ],
        success=success_of(group),
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _pair(first: Group, second: Group, correct: Correct) -> PairSummary:
    one, other = first.by_seed, second.by_seed
    seeds = sorted(one.keys() & other.keys())
    differences = [one[seed].test_score - other[seed].test_score for seed in seeds]
    enough = len(seeds) >= MIN_SEEDS
    p = paired_t_test(differences) if enough else None
    if not enough:
        no_claim = f"n too small (seeds in common: {len(seeds)}; needed: {MIN_SEEDS})"
    elif p is None:
        no_claim = "the difference is the same with every seed, so that its spread cannot be estimated"
    else:
        no_claim = ""
    return PairSummary(
        first=first.name,
        second=second.name,
        seeds=seeds,
        difference=_mean(differences),
        interval=t_interval(differences) if p is not None else None,
        p=p,
        p_holm=None,
        bootstrap=_bootstrap(first, second, correct),
        different_settings=differing(first.settings, second.settings),
        cautions=cautions(first, second),
        no_claim=no_claim,
    )


def _bootstrap(first: Group, second: Group, correct: Correct) -> Bootstrap | None:
    """None where no seed has the predictions of both, on the same images."""
    pairs = [
        (seed, correct[one.directory], correct[other.directory])
        for seed, one in first.by_seed.items()
        if (other := second.by_seed.get(seed)) is not None
        and {one.directory, other.directory} <= correct.keys()
        and one.environment.dataset == other.environment.dataset
        and len(correct[one.directory]) == len(correct[other.directory])
    ]
    if not pairs:
        return None
    differences = np.mean([one.astype(float) - other for _, one, other in pairs], axis=0)  # (images,)
    seeds = [seed for seed, _, _ in pairs]
    return Bootstrap(bootstrap_images(differences), len(differences), seeds, BOOTSTRAP_DRAWS)

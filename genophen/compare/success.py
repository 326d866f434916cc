"""Evaluations to success: how many episodes a search needed to solve its task, and who never did."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from genophen.compare.groups import Group

#: Why a run ended that solved its task.
SOLVED = "solved"


@dataclass(frozen=True)
class Success:
    """Evaluations (episodes of candidates) until a group's runs solved their task.

    A run that ended without is censored: it is known to need more than it had. In means it counts with all
    that it had, which makes them lower bounds.
    """

    #: Runs that solved the task, and all of them.
    solved: int
    runs: int
    evaluations_mean: float
    evaluations_std: float | None
    #: By Kaplan and Meier; None where half of the runs never solve it.
    evaluations_median: float | None
    evaluations_max: int
    #: The mean with the trials that tested whether the task is solved.
    with_tests_mean: float
    #: Evaluations at which runs solved the task, and the share of runs that had not by then.
    curve: tuple[tuple[int, float], ...]
    #: Evaluations of the runs that never did.
    censored: tuple[int, ...]


def success_of(group: Group) -> Success | None:
    """None where the runs count no episodes."""
    results = [run.result for run in group.runs]
    if not results or not all(result.episodes for result in results):
        return None
    spent = [result.episodes for result in results]
    ends = [result.stop_reason == SOLVED for result in results]
    curve = survival(spent, ends)
    return Success(
        solved=sum(ends),
        runs=len(ends),
        evaluations_mean=statistics.fmean(spent),
        evaluations_std=statistics.stdev(spent) if len(spent) > 1 else None,
        evaluations_median=next((float(at) for at, share in curve if share <= 0.5), None),
        evaluations_max=max(spent),
        with_tests_mean=statistics.fmean(result.episodes + result.test_episodes for result in results),
        curve=tuple(curve),
        censored=tuple(sorted(n for n, end in zip(spent, ends, strict=True) if not end)),
    )


def survival(spent: Sequence[int], solved: Sequence[bool]) -> list[tuple[int, float]]:
    """The share of runs not solved after so many evaluations, at each number at which one was.

    The estimate of Kaplan & Meier (1958): of the runs that had as many, each step takes the share that solved
    the task then; a run that ended without leaves those that are looked at, and counts as neither.
    """
    left, share, curve = len(spent), 1.0, []
    runs = sorted(zip(spent, solved, strict=True))
    for at, ended in itertools.groupby(runs, key=lambda run: run[0]):
        outcomes = [done for _, done in ended]
        if any(outcomes):
            share *= 1 - sum(outcomes) / left
            curve.append((at, share))
        left -= len(outcomes)
    return curve

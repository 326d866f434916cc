"""Curves of a group: the best validation score so far, against what it has cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from genophen.compare.finished import read_progress
from genophen.compare.groups import Group

#: What curves are drawn against: key, and the axis's name.
AXES = {"sample_evaluations": "sample evaluations", "seconds": "seconds of training and validation"}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The best score so far of a group's seeds: mean, lowest and highest from each cost on, (points,).

    Between two costs it stays as it is: the best changes where a round ends.
    """

    group: str
    axis: str
    cost: Array
    mean: Array
    low: Array
    high: Array


def read_curves(groups: Iterable[Group]) -> list[Curve]:
    """The curves of each group that has runs, one for each axis.

    Raises:
        DamagedError: for rounds that are not what genophen writes.
    """
    curves = []
    for group in groups:
        steps: dict[str, list[tuple[Array, Array]]] = {axis: [] for axis in AXES}
        for run in group.runs:
            metrics, timings = read_progress(run.directory)
            scores = [-math.inf if row.validation_score is None else row.validation_score for row in metrics]
            best = np.array(list(accumulate(scores, max)))
            evaluations = np.array([float(row.sample_evaluations) for row in metrics])
            seconds = np.cumsum([row.seconds for row in timings])
            steps["sample_evaluations"].append((evaluations, best))
            steps["seconds"].append((seconds, best))
        curves += [_curve(group.name, axis, runs) for axis, runs in steps.items() if runs]
    return curves


def _curve(name: str, axis: str, runs: list[tuple[Array, Array]]) -> Curve:
    """From where all runs have begun to where the last one ends; one that has ended keeps its best."""
    begun = max(cost[0] for cost, _ in runs)
    cost = np.unique(np.concatenate([cost for cost, _ in runs]))
    cost = cost[cost >= begun]
    values = np.array([best[np.searchsorted(c, cost, side="right") - 1] for c, best in runs])
    return Curve(name, axis, cost, values.mean(0), values.min(0), values.max(0))

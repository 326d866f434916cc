"""The statistics of a comparison: t intervals over seeds, a bootstrap over images, Holm's correction."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95
#: Fewest seeds in common from which a claim about two groups is made.
MIN_SEEDS = 5
BOOTSTRAP_DRAWS = 10_000
#: Differences over seeds that spread less than this are equal but for rounding.
_NO_SPREAD = 1e-12

Interval = tuple[float, float]


def t_interval(values: Sequence[float]) -> Interval | None:
    """Student's t interval of the mean, n - 1 degrees of freedom; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2)) * error
    return mean - half, mean + half


def paired_t_test(differences: Sequence[float]) -> float | None:
    """The two-sided p value of a mean difference of zero.

    None where the test is not defined: under two differences, or differences that do not vary at all.
    """
    if len(differences) < 2 or (spread := statistics.stdev(differences)) < _NO_SPREAD:
        return None
    t = statistics.fmean(differences) / (spread / math.sqrt(len(differences)))
    return float(2 * stdtr(len(differences) - 1, -abs(t)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p values that keep the chance of any false claim at the stated level.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def bootstrap_images(
    differences: NDArray[np.float64], seed: int = 0, draws: int = BOOTSTRAP_DRAWS
) -> Interval:
    """Percentile interval of a mean over images when the images are drawn again with replacement.

    `differences`, shape (images,): on each image how much more often the first group is right.
    """
    # Few values occur, so a draw of images is a draw of how often each value occurs.
    values, counts = np.unique(differences, return_counts=True)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(differences), counts / len(differences), size=draws)  # (draws, values)
    means = drawn @ values / len(differences)  # (draws,)
    low, high = np.quantile(means, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return float(low), float(high)

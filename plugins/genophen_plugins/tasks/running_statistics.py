"""Mean and width of what is observed, as they come out of all observations so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

#: Widths below this are those of numbers that have never changed.
_LEAST_VARIANCE = 1e-12
#: Observations are cut off at so many widths from the mean.
LIMIT = 10.0


class Sums(NamedTuple):
    """Of one episode: how many observations x (F,), the sum of x - m and of its square, for some m (F,)."""

    steps: int
    first: np.ndarray
    second: np.ndarray


class RunningStatistics(nn.Module):
    """Count, mean and sum of squared deviations (Chan, Golub & LeVeque 1979), in double precision.

    Episodes are added one after the other, so that the numbers are the same to the bit however the episodes
    were put together to be run.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(size, dtype=torch.float64))

    def add(self, episodes: Iterable[Sums], middle: np.ndarray) -> None:
        """Take up episodes; `middle` (F,) is what their sums are about."""
        count, mean, squares = float(self.count), self.mean.cpu().numpy().copy(), self.squares.cpu().numpy()
        for each in episodes:
            own = middle + each.first / each.steps
            total, away = count + each.steps, own - mean
            spread = each.second - each.first * each.first / each.steps
            squares = squares + spread + away * away * (count * each.steps / total)
            mean = mean + away * (each.steps / total)
            count = total
        self.count.fill_(count)
        self.mean.copy_(torch.from_numpy(mean))
        self.squares.copy_(torch.from_numpy(squares))

    def mean_and_width(self) -> tuple[Tensor, Tensor]:
        """Both (F,), on the CPU; 0 and 1 before there are observations, 1 of what has never changed."""
        variance = self.squares.cpu() / self.count.cpu().clamp(min=1)
        width = torch.where(variance > _LEAST_VARIANCE, variance.clamp(min=0).sqrt(), 1.0)
        return self.mean.cpu().clone(), width


def normalized(x: np.ndarray, mean: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Observations (..., F) in widths from the mean."""
    return np.clip((x - mean) / width, -LIMIT, LIMIT)

"""Ridge regression of very many features from a stream of images, in one square of memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from genophen_plugins.optimizers.evolution.readout import Solution

#: Features whose products are taken, and factorised, together.
BLOCK = 512


class StreamedRidge:
    """The regression of `RidgeRegression`, summed in double precision, in 8 F^2 bytes: 2 GiB for 16,000.

    Of one square matrix the blocks on and above the diagonal hold the sums of products, those below it the
    Cholesky factor, whose own diagonal blocks are kept beside it. So nothing of that size is held twice, and
    the sums serve any number of penalties.
    """

    def __init__(self, num_features: int, num_classes: int, device: torch.device) -> None:
        self._num_classes = num_classes
        self._count = 0
        #: Taken off the features, as there: the mean of the first that are added.
        self._origin: Tensor | None = None

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self._square = zeros(num_features, num_features)
        self._sum, self._class_sum = zeros(num_features), zeros(num_classes)
        self._moments = zeros(num_features, num_classes)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Take in features (N, F) and labels (N,)."""
        x, y = features.double(), F.one_hot(labels, self._num_classes).double()
        if self._origin is None:
            self._origin = x.mean(0)
        x = x - self._origin
        self._count += len(x)
        self._sum += x.sum(0)
        self._class_sum += y.sum(0)
        self._moments += x.T @ y
        for rows in self._blocks():
            self._square[rows, rows.start :] += x[:, rows].T @ x[:, rows.start :]

    def solve(self, ridge_lambda: float) -> Solution:
        """The solution for all that was taken in; not-a-number throughout where features were not finite."""
        assert self._origin is not None, "nothing was added"
        mean, class_mean = self._sum / self._count, self._class_sum / self._count
        variance = (self._square.diagonal() / self._count - mean.square()).mean()
        penalty = float((ridge_lambda * variance).clamp_min(1e-12))
        right = self._moments - torch.outer(mean, self._class_sum)
        weight = self._substitute(self._factorise(mean, penalty), right)  # (F, K)
        bias = class_mean - (mean + self._origin) @ weight
        return Solution(weight.T.float().contiguous(), bias.float())

    def _factorise(self, mean: Tensor, penalty: float) -> list[Tensor]:
        """Write the factor of centred products plus penalty below the diagonal; its diagonal blocks."""
        square, diagonal = self._square, []
        for rows in self._blocks():
            start, size = rows.start, rows.stop - rows.start
            column = (square[rows, start:] - self._count * torch.outer(mean[rows], mean[start:])).T
            column -= square[start:, :start] @ square[rows, :start].T
            column[:size].diagonal().add_(penalty)
            block, failed = torch.linalg.cholesky_ex(column[:size])
            diagonal.append(torch.full_like(block, torch.nan) if bool(failed) else block)
            square[rows.stop :, rows] = torch.linalg.solve_triangular(
                diagonal[-1].T, column[size:], upper=True, left=False
            )
        return diagonal

    def _substitute(self, diagonal: list[Tensor], right: Tensor) -> Tensor:
        """What the factored matrix maps to `right` (F, K)."""
        solution = right.clone()
        steps = list(zip(self._blocks(), diagonal, strict=True))
        for rows, block in steps:
            known = solution[rows] - self._square[rows, : rows.start] @ solution[: rows.start]
            solution[rows] = torch.linalg.solve_triangular(block, known, upper=False)
        for rows, block in reversed(steps):
            known = solution[rows] - self._square[rows.stop :, rows].T @ solution[rows.stop :]
            solution[rows] = torch.linalg.solve_triangular(block.T, known, upper=True)
        return solution

    def _blocks(self) -> Iterator[slice]:
        size = len(self._square)
        return (slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK))

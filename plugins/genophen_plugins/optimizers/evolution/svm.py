"""Linear support vector machines as readouts: ridge regressions on images that are no clear cases yet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from genophen_plugins.optimizers.evolution.readout import Solution

#: Regressions at the most; a dozen usually do.
MAX_STEPS = 50
#: Halvings of a step that raises a class' objective.
MAX_HALVINGS = 8
#: The relative gain of the objective below which the solution is final.
TOLERANCE = 1e-5


def fit_svm(features: Tensor, labels: Tensor, start: Solution, ridge_lambda: float) -> Solution:
    """The linear support vector machine, one class against the rest, of features (N, F) and labels (N,).

    Minimises for each class the sum of max(0, 1 - t f(x))^2 + lambda s |w|^2, with t = 1 for its images and
    -1 for others; s is the features' mean variance, as in `RidgeRegression`, and the intercept is free. Each
    step is the ridge regression of t on those images alone whose margin t f(x) is below 1 (the finite Newton
    method of Keerthi & DeCoste 2005), the first of them chosen by `start`, a regression of one-hot labels.

    All features are used again and again: 4 N F bytes. Where they, or `start`, are not finite: `start`.
    """
    targets = 2 * F.one_hot(labels, len(start.bias)).to(features) - 1  # (N, K)
    penalty = float((ridge_lambda * features.var(0, correction=0).mean()).clamp_min(1e-12))
    weight, bias = 2 * start.weight, 2 * start.bias - 1  # from 0 and 1 to -1 and 1
    objective, within = _objective(features, targets, weight, bias, penalty)
    if not bool(torch.isfinite(objective).all()):
        return start
    for _ in range(MAX_STEPS):
        new_weight, new_bias = torch.zeros_like(weight), bias.clone()  # of a class of clear cases alone
        for k in range(len(bias)):
            chosen = within[:, k]
            if bool(chosen.any()):
                new_weight[k], new_bias[k] = _regress(features[chosen], targets[chosen, k], penalty)
        step = torch.ones_like(bias)
        for _ in range(MAX_HALVINGS):
            moved = (weight.lerp(new_weight, step[:, None]), bias.lerp(new_bias, step))
            new_objective, new_within = _objective(features, targets, *moved, penalty)
            worse = ~(new_objective <= objective)  # not finite: worse, too
            if not bool(worse.any()):
                break
            step = torch.where(worse, step / 2, step)
        before = objective.sum()
        weight = torch.where(worse[:, None], weight, moved[0])  # a class that no step helps stays
        bias = torch.where(worse, bias, moved[1])
        objective, within = (
            torch.where(worse, objective, new_objective),
            torch.where(worse, within, new_within),
        )
        if float((before - objective.sum()) / before.clamp_min(1e-30)) < TOLERANCE:
            break
    return Solution(weight, bias)


def _objective(
    features: Tensor, targets: Tensor, weight: Tensor, bias: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """Each class' objective (K,), and which images are within its margin (N, K)."""
    short = (1 - targets * F.linear(features, weight, bias)).clamp_min_(0)  # by how much the margin is missed
    return short.square().sum(0) + penalty * weight.square().sum(1), short > 0


def _regress(features: Tensor, targets: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight (F,) and intercept () of the ridge regression of targets (n,) on features (n, F)."""
    mean, middle = features.mean(0), targets.mean()
    centered = features - mean
    gram = (centered.T @ centered).double()
    gram.diagonal().add_(penalty)
    factor, _ = torch.linalg.cholesky_ex(gram)
    moments = (centered.T @ (targets - middle)).double()
    weight = torch.cholesky_solve(moments[:, None], factor)[:, 0].to(features)
    return weight, middle - mean @ weight

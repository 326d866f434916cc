"""Support vector machines against scikit-learn's, and on problems with a known answer."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from genophen_plugins.optimizers.evolution import svm
from genophen_plugins.optimizers.evolution.readout import RidgeRegression, Solution
from genophen_plugins.optimizers.evolution.svm import fit_svm
from sklearn.svm import LinearSVC
from torch import Tensor
from torch.nn import functional as F


def problem(count: int = 300, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (count,), generator=generator)
    features = spread * torch.randn(count, 6, generator=generator) + 2 * F.one_hot(labels, 6)
    return features, labels


def ridge(features: Tensor, labels: Tensor, ridge_lambda: float) -> Solution:
    regression = RidgeRegression(features.shape[1], int(labels.max()) + 1, features.device)
    regression.add(features, labels)
    return regression.solve(ridge_lambda)


@pytest.mark.parametrize(
    ("count", "ridge_lambda"), [(300, 0.3), (300, 10.0), (300, 300.0), (30, 0.03), (30, 0.3)]
)
def test_the_solution_is_scikit_learns(count: int, ridge_lambda: float) -> None:
    features, labels = problem(count)  # with few images, whole steps go too far
    found = fit_svm(features, labels, ridge(features, labels, ridge_lambda), ridge_lambda)
    penalty = ridge_lambda * float(features.var(0, correction=0).mean())
    # Theirs penalises the intercept: less, the larger it is scaled.
    theirs = LinearSVC(C=1 / (2 * penalty), intercept_scaling=100, tol=1e-8, max_iter=1_000_000)
    theirs.fit(features.double().numpy(), labels.numpy())
    torch.testing.assert_close(found.weight, torch.tensor(theirs.coef_).float(), rtol=1e-2, atol=2e-3)
    torch.testing.assert_close(found.bias, torch.tensor(theirs.intercept_).float(), rtol=1e-2, atol=5e-3)


def test_clear_cases_have_no_say() -> None:
    features, labels = problem(spread=0.5)
    solution = fit_svm(features, labels, ridge(features, labels, 1), 1)
    targets = 2 * F.one_hot(labels, 4) - 1
    clear = (targets * solution(features) > 1.01).all(1)
    assert 0.2 < float(clear.float().mean()) < 1
    rest = ~clear
    # The penalty is in units of the variance, which the images that are left do not share.
    ridge_lambda = float(features.var(0, correction=0).mean() / features[rest].var(0, correction=0).mean())
    again = fit_svm(features[rest], labels[rest], ridge(features[rest], labels[rest], 1), ridge_lambda)
    torch.testing.assert_close(again.weight, solution.weight, rtol=1e-2, atol=1e-2)


def test_far_images_on_the_right_side_do_not_move_the_boundary_as_they_do_a_regression() -> None:
    x = torch.cat([torch.linspace(-2, -0.1, 50), torch.linspace(0.1, 2, 50), torch.full((50,), 60.0)])[
        :, None
    ]
    labels = (x[:, 0] > 0).long()
    regression = ridge(x, labels, 1e-3)
    machine = fit_svm(x, labels, regression, 1e-3)
    assert float((regression(x).argmax(1) == labels).float().mean()) < 0.95
    assert bool((machine(x).argmax(1) == labels).all())


def test_a_start_with_nothing_but_clear_cases_comes_to_the_same_solution() -> None:
    features, labels = problem(spread=0.2)
    start = ridge(features, labels, 10)
    steep = Solution(100 * start.weight, 100 * start.bias - 49.5)  # where `start` says a half, so does this
    targets = 2 * F.one_hot(labels, 4) - 1
    assert bool((targets * (2 * steep(features) - 1) > 1).all())
    expected, found = (fit_svm(features, labels, each, 10) for each in (start, steep))
    torch.testing.assert_close(found.weight, expected.weight, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(found.bias, expected.bias, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_leave_the_start(value: float) -> None:
    features, labels = problem()
    start = ridge(features, labels, 1)
    features[3, 2] = value
    assert fit_svm(features, labels, start, 1) is start


def test_a_class_without_images_is_never_named() -> None:
    features, labels = problem()
    labels = labels.clamp_max(2)
    regression = RidgeRegression(6, 5, features.device)
    regression.add(features, labels)
    solution = fit_svm(features, labels, regression.solve(1), 1)
    assert set(solution(features).argmax(1).tolist()) == {0, 1, 2}
    torch.testing.assert_close(solution(features)[:, 3:], torch.full((300, 2), -1.0), atol=1e-4, rtol=0)


def test_a_class_that_no_step_helps_does_not_end_the_others_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = problem()
    start = ridge(features, labels, 1)
    expected = fit_svm(features, labels, start, 1)
    regress, calls = svm._regress, itertools.count()

    def fail_for_the_second_class(*args: Any) -> tuple[Tensor, Tensor]:
        weight, bias = regress(*args)
        return (weight * torch.nan if next(calls) % 4 == 1 else weight), bias

    monkeypatch.setattr(svm, "_regress", fail_for_the_second_class)
    found = fit_svm(features, labels, start, 1)
    torch.testing.assert_close(found.weight[1], 2 * start.weight[1])
    others = torch.tensor([0, 2, 3])
    torch.testing.assert_close(found.weight[others], expected.weight[others], rtol=1e-3, atol=1e-4)
    assert next(calls) > 8

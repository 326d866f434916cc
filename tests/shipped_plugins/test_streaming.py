"""The ridge regression of very many features: the same solution, in one square of memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from genophen_plugins.optimizers.evolution.streaming import StreamedRidge
from torch import Tensor
from torch.nn import functional as F

#: More than two blocks, and no whole number of them.
FEATURES = 1100


@pytest.fixture(scope="module")
def problem() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (900,), generator=generator)
    mix = torch.randn(FEATURES, FEATURES, generator=generator) / 30
    return torch.randn(900, FEATURES, generator=generator) @ mix + 50 + F.one_hot(labels, FEATURES), labels


def test_the_solution_is_that_of_the_normal_equations_for_every_penalty(
    problem: tuple[Tensor, Tensor],
) -> None:
    features, labels = problem
    regression = StreamedRidge(FEATURES, 4, features.device)
    for part in (slice(0, 130), slice(130, 900)):
        regression.add(features[part], labels[part])
    x, y = features.double(), F.one_hot(labels, 4).double()
    centred = x - x.mean(0)
    for ridge_lambda in (100.0, 1.0, 30.0):
        solution = regression.solve(ridge_lambda)
        penalty = ridge_lambda * x.var(0, correction=0).mean() * torch.eye(FEATURES, dtype=torch.float64)
        weight = torch.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - y.mean(0)))
        torch.testing.assert_close(solution.weight, weight.T.float(), rtol=1e-4, atol=1e-7)
        bias = (y.mean(0) - x.mean(0) @ weight).float()
        torch.testing.assert_close(solution.bias, bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_give_no_solution(value: float) -> None:
    regression = StreamedRidge(6, 2, torch.device("cpu"))
    features = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    features[3, 2] = value
    regression.add(features, torch.arange(20) % 2)
    assert torch.isnan(regression.solve(0.1).weight).all()


def test_nothing_of_the_size_of_the_square_is_held_twice() -> None:
    script = """
import re, torch
from pathlib import Path
from genophen_plugins.optimizers.evolution.streaming import StreamedRidge
def peak():  # of this program alone, where getrusage begins with what the process was before
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
torch.randn(600, 600) @ torch.randn(600, 600)
before = peak()
regression = StreamedRidge(6000, 10, torch.device("cpu"))
regression.add(torch.randn(40, 6000), torch.arange(40) % 10)
assert torch.isfinite(regression.solve(30.0).weight).all()
print((peak() - before) / (8 * 6000**2))
"""
    command = [sys.executable, "-c", script]
    squares = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 0.5 < float(squares) < 1.9, squares  # twice would be 2

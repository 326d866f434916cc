"""Closed-form readouts against the normal equations written out."""

from __future__ import annotations

import pytest
import torch
from genophen_plugins.optimizers.evolution.readout import (
    RidgeRegression,
    Solution,
    cross_validate,
    find_readout,
)
from torch import Tensor, nn
from torch.nn import functional as F

import genophen


def problem() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (200,), generator=generator)
    features = torch.randn(200, 6, generator=generator) + 3 * F.one_hot(labels, 6) + 5
    return features, labels


def test_the_solution_is_that_of_the_normal_equations() -> None:
    features, labels = problem()
    regression = RidgeRegression(6, 3, features.device)
    for part in (slice(0, 70), slice(70, 200)):
        regression.add(features[part], labels[part])
    solution = regression.solve(2.0)
    x, y = features.double(), F.one_hot(labels, 3).double()
    penalty = 2 * x.var(0, correction=0).mean()
    design = torch.cat([x, torch.ones(len(x), 1)], 1)
    ridge = torch.diag(torch.tensor([penalty] * 6 + [0.0], dtype=torch.float64))
    expected = torch.linalg.solve(design.T @ design + ridge, design.T @ y)
    torch.testing.assert_close(solution.weight, expected[:6].T.float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(solution.bias, expected[6].float(), rtol=1e-4, atol=1e-5)
    assert float((solution(features).argmax(1) == labels).float().mean()) > 0.9


def test_lambda_means_the_same_at_any_scale() -> None:
    features, labels = problem()
    outputs = []
    for x in (features, features * 1000):
        regression = RidgeRegression(6, 3, x.device)
        regression.add(x, labels)
        outputs.append(regression.solve(20)(x))
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_give_no_solution(value: float) -> None:
    features, labels = problem()
    features[3, 2] = value
    regression = RidgeRegression(6, 3, features.device)
    regression.add(features, labels)
    assert torch.isnan(regression.solve(0.1).weight).all()


def test_features_far_from_zero_are_no_trouble() -> None:
    features, labels = problem()
    near, far = RidgeRegression(6, 3, features.device), RidgeRegression(6, 3, features.device)
    for part in (slice(0, 90), slice(90, 200)):
        near.add(features[part], labels[part])
        far.add(features[part] + 3000, labels[part])
    weight = near.solve(0.01).weight
    torch.testing.assert_close(
        far.solve(0.01).weight, weight, rtol=0.01, atol=0.01 * float(weight.abs().max())
    )
    assert (far.solve(0.01)(features + 3000).argmax(1) == near.solve(0.01)(features).argmax(1)).all()


def test_dead_features_are_no_trouble() -> None:
    features, labels = problem()
    regression = RidgeRegression(8, 3, features.device)
    regression.add(torch.cat([features, torch.zeros(200, 2)], 1), labels)
    assert torch.isfinite(regression.solve(1e-3).weight).all()
    regression = RidgeRegression(2, 3, features.device)
    regression.add(torch.zeros(200, 2), labels)
    solution = regression.solve(1e-3)
    torch.testing.assert_close(solution.bias, F.one_hot(labels, 3).float().mean(0))


def test_sharpening_lowers_the_loss_and_keeps_the_classes() -> None:
    features, labels = problem()
    regression = RidgeRegression(6, 3, features.device)
    regression.add(features, labels)
    flat = regression.solve(0.01)
    sharp = flat.sharpened(features, labels)
    assert F.cross_entropy(sharp(features), labels) < 0.7 * F.cross_entropy(flat(features), labels)
    assert torch.equal(sharp(features).argmax(1), flat(features).argmax(1))
    nothing = Solution(flat.weight * torch.nan, flat.bias)
    assert torch.isnan(nothing.sharpened(features, labels).weight).all()


@pytest.mark.parametrize("folds", [2, 7, 200])
def test_cross_validation_is_a_regression_without_each_fold(folds: int) -> None:
    features, labels = problem()
    features = features + 300  # far from zero: sums must be of differences
    expected = []
    for fold in torch.arange(200).tensor_split(folds):
        others = torch.ones(200, dtype=torch.bool)
        others[fold] = False
        regression = RidgeRegression(6, 3, features.device)
        regression.add(features[others], labels[others])
        expected.append(regression.solve(2.0)(features[fold]))
    outputs = cross_validate(features, labels, 3, folds, 2.0)
    torch.testing.assert_close(outputs, torch.cat(expected), rtol=1e-3, atol=1e-3)


def test_cross_validation_does_not_see_what_it_judges() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (400,), generator=generator)
    noise = torch.randn(400, 150, generator=generator)
    regression = RidgeRegression(150, 2, noise.device)
    regression.add(noise, labels)
    seen = (regression.solve(0.1)(noise).argmax(1) == labels).float().mean()
    unseen = (cross_validate(noise, labels, 2, 4, 0.1).argmax(1) == labels).float().mean()
    assert seen > 0.75
    assert 0.4 < unseen < 0.6


def test_cross_validation_of_features_that_are_not_finite_gives_not_a_number() -> None:
    features, labels = problem()
    features[3, 2] = torch.inf
    assert torch.isnan(cross_validate(features, labels, 3, 4, 1.0)[0]).all()


def phenotype_of(*layers: nn.Module) -> genophen.Phenotype:
    return genophen.compile(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), *layers), ["0.weight"])


class WithAnUnusedLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(12, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def test_the_readout_is_the_layer_whose_output_is_the_logits() -> None:
    phenotype = phenotype_of(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).train()
    images = torch.zeros(2, 3, 2, 2)
    assert find_readout(phenotype, None, images) == "4"
    scaled = phenotype_of(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softplus())
    assert find_readout(scaled, "4", images) == "4"
    assert phenotype.training
    assert phenotype.samples.sample_evaluations == 0
    with pytest.raises(genophen.ConfigError, match="'9' is a NoneType"):
        find_readout(phenotype, "9", images)
    with pytest.raises(genophen.ConfigError, match=r"'2' gives \(2, 8\), where the logits are \(2, 3\)"):
        find_readout(phenotype, "2", images)
    with pytest.raises(genophen.ConfigError, match=r"'2\.unused' is a Linear that does not run"):
        find_readout(phenotype_of(WithAnUnusedLayer()), "2.unused", images)
    with pytest.raises(genophen.ConfigError, match="not the output of a dense layer"):
        find_readout(phenotype_of(nn.Linear(12, 3), nn.Softmax(1)), None, images)
    with pytest.raises(genophen.ConfigError, match="'2' is a Linear without a bias"):
        find_readout(phenotype_of(nn.Linear(12, 3, bias=False)), None, images)


def test_more_features_than_images_are_cross_validated_to_the_same_outputs() -> None:
    features, labels = problem()
    lifted = features @ torch.randn(6, 300, generator=torch.Generator().manual_seed(1))
    some = torch.cat(
        [lifted, torch.randn(200, 300, generator=torch.Generator().manual_seed(2))], 1
    )  # 600 > 200
    expected = []
    for part in torch.arange(200).tensor_split(3):
        fitted = torch.ones(200, dtype=torch.bool)
        fitted[part] = False
        regression = RidgeRegression(600, 3, features.device)
        regression.add(some[fitted], labels[fitted])
        expected.append(regression.solve(5.0)(some[part]))
    outputs = cross_validate(some, labels, 3, folds=3, ridge_lambda=5.0)
    torch.testing.assert_close(outputs, torch.cat(expected), rtol=1e-3, atol=1e-4)

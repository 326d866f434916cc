"""Readouts: a network's last dense layer, solved in closed form instead of trained."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import genophen

#: Factors that are tried on a solution's outputs to make log-odds of them.
_SHARPNESS = [2.0**power for power in range(8)]


@dataclass(frozen=True)
class Solution:
    """A dense layer: weight (K, F) and bias (K,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (N, K) of features (N, F)."""
        return F.linear(features, self.weight, self.bias)

    def sharpened(self, features: Tensor, labels: Tensor) -> Solution:
        """This solution times the factor with the lowest cross-entropy on features (N, F), labels (N,).

        A regression on one-hot targets answers between 0 and 1, which is flat as logits; the classes that
        it names stay the same.
        """
        factor = sharpness(self(features), labels)
        return Solution(self.weight * factor, self.bias * factor)


def sharpness(outputs: Tensor, labels: Tensor) -> float:
    """The power of two that, times a regression's outputs (N, K), gives the lowest cross-entropy."""
    losses = torch.stack([F.cross_entropy(outputs * factor, labels) for factor in _SHARPNESS])
    return _SHARPNESS[int(losses.nan_to_num(torch.inf).argmin())]


class RidgeRegression:
    """Ridge regression of one-hot labels on features, from sums, so that images can come in batches.

    Minimises |X W + b - Y|^2 + lambda s |W|^2, s being the features' mean variance, so that lambda means the
    same at any scale of the features: it weighs as much as that many images. The intercept b is free of it.
    """

    def __init__(
        self, num_features: int, num_classes: int, device: torch.device, origin: Tensor | None = None
    ) -> None:
        """`origin` (F,) is a point near the features; default: the mean of the first that are added."""
        self._num_classes = num_classes
        self._count = 0
        #: Taken off the features, since sums of squares far from zero would drown their variance.
        self._origin = origin
        size = num_features + num_classes
        self._sum = torch.zeros(size, dtype=torch.float64, device=device)
        self._products = torch.zeros(num_features, size, dtype=torch.float64, device=device)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Take in features (N, F) and labels (N,)."""
        if self._origin is None:
            self._origin = features.mean(0)
        features = features - self._origin
        columns = torch.cat([features, F.one_hot(labels, self._num_classes).to(features)], 1)  # (N, F + K)
        self._count += len(features)
        self._sum += columns.sum(0, dtype=torch.float64)
        self._products += (features.T @ columns).double()

    def __add__(self, other: RidgeRegression) -> RidgeRegression:
        """A regression that took in what both did; they were made with one `origin`."""
        return self._combined(other, 1)

    def __sub__(self, other: RidgeRegression) -> RidgeRegression:
        """A regression that did not take in what `other` did, of what this one took in."""
        return self._combined(other, -1)

    def solve(self, ridge_lambda: float) -> Solution:
        """The solution for all that was taken in; not-a-number throughout where features were not finite."""
        assert self._origin is not None, "nothing was added"
        num_features = len(self._products)
        mean = self._sum / self._count
        centered = self._products - self._count * torch.outer(mean[:num_features], mean)
        gram, moments = centered[:, :num_features], centered[:, num_features:]
        penalty = (ridge_lambda * gram.diagonal().mean() / self._count).clamp_min(1e-12)
        gram = gram + penalty * torch.eye(num_features, dtype=gram.dtype, device=gram.device)
        factor, failed = torch.linalg.cholesky_ex(gram)
        weight = torch.cholesky_solve(moments, factor)  # (F, K)
        if bool(failed) or not bool(torch.isfinite(weight).all()):
            weight = torch.full_like(weight, torch.nan)
        bias = mean[num_features:] - (mean[:num_features] + self._origin) @ weight
        return Solution(weight.T.float().contiguous(), bias.float())

    def _combined(self, other: RidgeRegression, sign: int) -> RidgeRegression:
        assert self._origin is other._origin
        num_features, device = len(self._products), self._products.device
        result = RidgeRegression(num_features, self._num_classes, device, self._origin)
        result._count = self._count + sign * other._count
        result._sum = self._sum + sign * other._sum
        result._products = self._products + sign * other._products
        return result


def cross_validate(
    features: Tensor, labels: Tensor, num_classes: int, folds: int, ridge_lambda: float
) -> Tensor:
    """Outputs (N, K) for features (N, F), each by the ridge regression on all folds but its own.

    The folds are consecutive images, so these come in random order. Sums are taken once for each fold: beyond
    one regression this costs only its solution, `folds` times. Where there are more features than images, the
    same outputs come from the images' products with each other, which are fewer.
    """
    if features.shape[1] > len(features):
        return _cross_validate_by_images(features, labels, num_classes, folds, ridge_lambda)
    origin = features.mean(0)
    parts = []
    for some, their_labels in zip(features.tensor_split(folds), labels.tensor_split(folds), strict=True):
        part = RidgeRegression(features.shape[1], num_classes, features.device, origin)
        part.add(some, their_labels)
        parts.append(part)
    total = functools.reduce(operator.add, parts)
    solutions = [(total - part).solve(ridge_lambda) for part in parts]
    return torch.cat(
        [solution(x) for solution, x in zip(solutions, features.tensor_split(folds), strict=True)]
    )


def _cross_validate_by_images(
    features: Tensor, labels: Tensor, num_classes: int, folds: int, ridge_lambda: float
) -> Tensor:
    """`cross_validate` by the dual solution: outputs are sums over the images that were fitted."""
    x = (features - features.mean(0)).double()
    y = F.one_hot(labels, num_classes).double()
    products = x @ x.T  # (N, N)
    outputs = torch.empty_like(y)
    for held_out in torch.arange(len(x), device=x.device).tensor_split(folds):
        fitted = torch.ones(len(x), dtype=torch.bool, device=x.device)
        fitted[held_out] = False
        inner, across = products[fitted][:, fitted], products[held_out][:, fitted]
        row_mean = inner.mean(0)
        # centred on the mean of the images that are fitted
        across = across - across.mean(1, keepdim=True) - row_mean + row_mean.mean()
        inner = inner - row_mean - row_mean[:, None] + row_mean.mean()
        variance = inner.diagonal().sum() / (features.shape[1] * len(inner))
        inner.diagonal().add_((ridge_lambda * variance).clamp_min(1e-12))
        mean = y[fitted].mean(0)
        factor, failed = torch.linalg.cholesky_ex(inner)
        outputs[held_out] = mean + across @ torch.cholesky_solve(y[fitted] - mean, factor)
        if bool(failed):
            outputs[held_out] = torch.nan
    return outputs.float()


def find_readout(phenotype: genophen.Phenotype, named: str | None, images: Tensor) -> str:
    """The name of the main network's last `nn.Linear`: the one named, or the one whose output is the logits.

    Raises:
        ConfigError: where there is none, it has no bias to hold an intercept, or no output for each class.
    """
    linear = [name for name, module in phenotype.network.named_modules() if isinstance(module, nn.Linear)]
    logits, outputs = _run_dense_layers(phenotype, images)
    name = named or next((name for name, output in outputs.items() if output is logits), None)
    if name is None:
        found = "its logits are not the output of a dense layer"
    elif name not in outputs:
        found = f"{name!r} is a {type(dict(phenotype.network.named_modules()).get(name)).__name__}"
        found += " that does not run" if name in linear else ""
    elif outputs[name].shape != logits.shape:
        found = f"{name!r} gives {tuple(outputs[name].shape)}, where the logits are {tuple(logits.shape)}"
    elif not _has_bias(phenotype, name):
        found = f"{name!r} is a Linear without a bias"
    else:
        return name
    raise genophen.ConfigError(
        "cannot solve the readout of the network",
        found=found,
        allowed="an nn.Linear with a bias that gives the logits; the network has "
        + (", ".join(linear) or "none"),
        next_step="name it as `readout` in the architecture, or train with readout = 'direct'",
    )


def _has_bias(phenotype: genophen.Phenotype, name: str) -> bool:
    return f"{name}.bias" in phenotype.targets or phenotype.network.get_submodule(name).bias is not None


def _run_dense_layers(phenotype: genophen.Phenotype, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The logits, and the outputs of those dense layers that run, by name."""
    outputs: dict[str, Tensor] = {}
    network = phenotype.materialize().eval()  # a copy: nothing is counted, and no hook stays
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
    with torch.no_grad():
        return network(images), outputs

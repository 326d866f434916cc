"""How good a candidate is: as it stands, or with a readout solved for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import genophen

#: Features held at a time: candidates beyond need their common part computed again.
FEATURE_BYTES = 256 * 2**20


class Fitness:
    """Candidates with the readout that they have; higher is better. Can be sent to other processes."""

    def __init__(self, context: genophen.Context, options: Any) -> None:
        self._context: genophen.Context | None = context
        self._options = options

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_context": None}  # other processes are sent the images that they need

    def draw(self) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) and labels (N,) for one generation."""
        assert self._context is not None
        return self._context.batches.next()

    def __call__(
        self, population: genophen.Population, candidates: Tensor, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Fitness (P,) of candidates (P, num_genes) on images that `draw` gave."""
        if self._options.fitness == "cross-entropy":
            return -population.losses(candidates, images, labels)
        return torch.stack([_accuracy(logits, labels) for logits in population.logits(candidates, images)])

    def as_loss(self, fitness: Tensor) -> Tensor:
        """The training loss that a fitness stands for: cross-entropy, or the share of errors."""
        return -fitness if self._options.fitness == "cross-entropy" else 1 - fitness

    def finish(self, phenotype: genophen.Phenotype) -> None:
        """Complete a phenotype that is to be measured."""


class RidgeFitness(Fitness):
    """Candidates judged by what a linear readout makes of their features, solved anew for each of them.

    A readout is fitted to some training images and judged on others; both are drawn for each generation,
    without augmentation, and are the same for all candidates.
    """

    def __init__(self, context: genophen.Context, options: Any) -> None:
        super().__init__(context, options)
        available, wanted = len(context.train_images), options.ridge_fit_size + options.ridge_judge_size
        if wanted > available:
            raise genophen.ConfigError(
                "cannot draw the images for the ridge readout",
                found=f"ridge_fit_size + ridge_judge_size = {wanted:,}",
                allowed=f"up to {available:,}, the number of training images",
            )
        images, _ = context.train_images.take(torch.arange(2))
        self._name = genophen.find_readout(context.phenotype, context.readout, images)
        readout = context.phenotype.network.get_submodule(self._name)
        assert isinstance(readout, nn.Linear)
        self._shape = (readout.in_features, readout.out_features)
        #: The phenotype's parameters that are solved, not searched.
        self.solved = {f"network.{self._name}.weight", f"network.{self._name}.bias"}
        if not self.solved <= {name for name, _ in context.phenotype.named_parameters()}:
            raise genophen.ConfigError(
                "cannot solve the readout in closed form",
                found=f"the genotype writes {self._name}",
                allowed="a readout among the direct parameters",
                next_step="narrow the architecture's expressed(), or set readout = 'direct'",
            )

    def draw(self) -> tuple[Tensor, Tensor]:
        assert self._context is not None
        count = self._options.ridge_fit_size + self._options.ridge_judge_size
        order = torch.randperm(len(self._context.train_images), generator=self._context.generator)
        return self._context.train_images.take(order[:count])

    def __call__(
        self, population: genophen.Population, candidates: Tensor, images: Tensor, labels: Tensor
    ) -> Tensor:
        feature_bytes = 4 * len(images) * self._shape[0]
        step = max(1, FEATURE_BYTES // feature_bytes)
        fitness = []
        for part in candidates.split(step):
            for features in population.features(part, images, self._name):
                fitness.append(self._judge(features, labels))
        return torch.stack(fitness)

    def finish(self, phenotype: genophen.Phenotype) -> None:
        """Solve the readout on all training images and write it into the phenotype's layer."""
        assert self._context is not None
        readout = phenotype.network.get_submodule(self._name)
        assert isinstance(readout, nn.Linear)
        population = genophen.Population(phenotype, sorted(self.solved))
        candidate = population.center()[None]
        regression = genophen.RidgeRegression(*self._shape, readout.weight.device)
        sample: tuple[Tensor, Tensor] | None = None
        for images, labels in self._context.train_images:
            features = population.features(candidate, images, self._name)[0]
            regression.add(features, labels)
            sample = sample or (features, labels)
        assert sample is not None
        solution = regression.solve(self._options.ridge_lambda).sharpened(*sample)
        with torch.no_grad():
            readout.weight.copy_(solution.weight)
            readout.bias.copy_(solution.bias)

    def _judge(self, features: Tensor, labels: Tensor) -> Tensor:
        """The fitness of one candidate's features (N, F): fitted to the first of them, judged on the rest."""
        count = self._options.ridge_fit_size
        regression = genophen.RidgeRegression(*self._shape, features.device)
        regression.add(features[:count], labels[:count])
        solution = regression.solve(self._options.ridge_lambda)
        if self._options.fitness == "accuracy":
            return _accuracy(solution(features[count:]), labels[count:])
        solution = solution.sharpened(features[:count], labels[:count])
        return -F.cross_entropy(solution(features[count:]), labels[count:])


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of right answers, a tensor of shape (); not a number where logits (N, K) are not."""
    share = (logits.argmax(1) == labels).float().mean()
    return share if bool(torch.isfinite(logits).all()) else share * torch.nan

"""How good a candidate is: as it stands, or with a readout solved for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen_plugins.optimizers.evolution.options import EvolutionOptions, FitnessOptions
from genophen_plugins.optimizers.evolution.readout import cross_validate, find_readout, sharpness
from genophen_plugins.optimizers.evolution.streaming import StreamedRidge
from genophen_plugins.optimizers.evolution.svm import fit_svm

#: Features held at a time: candidates beyond need their common part computed again.
FEATURE_BYTES = 256 * 2**20
#: Training images that readouts are solved and judged on, where there are as many.
RIDGE_IMAGES = 8000

#: Images (N, C, H, W) and labels (N,).
LabelledImages = tuple[Tensor, Tensor]


class Candidates(Protocol):
    """What evaluates candidates, (P, ...) one a row, as `genophen.Population` does."""

    def parts(self, candidates: Tensor) -> tuple[Tensor, ...]: ...
    def networks(self, candidates: Tensor) -> genophen.Networks: ...
    def logits(self, candidates: Tensor, images: Tensor) -> Tensor: ...
    def losses(self, candidates: Tensor, images: Tensor, labels: Tensor) -> Tensor: ...
    def features(self, candidates: Tensor, images: Tensor, readout: str) -> Tensor: ...


class Fitness(ABC):
    """What candidates are ranked by; higher is better. Can be sent to other processes, to be called there."""

    #: `cross-entropy`, `squared-error` or `accuracy`; `task`: the task's own.
    measure: str
    #: The phenotype's parameters that are solved, not searched.
    solved: frozenset[str] = frozenset()
    #: Settings that were left open, as they were filled in.
    derived: Mapping[str, Any]

    def __init__(self, context: genophen.Context, options: FitnessOptions) -> None:
        self._context: genophen.Context | None = context
        self.task, self._options = context.task, options
        self.derived = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_context": None}  # other processes are sent the batches that they need

    @property
    def context(self) -> genophen.Context:
        """What the optimizer works with, in its own process."""
        assert self._context is not None
        return self._context

    def tell(self, what: str, done: int, total: int) -> None:
        """Say how far a generation is; in other processes nobody listens."""
        if self._context is not None:
            self._context.doing(what, done / total)

    @property
    def loss_name(self) -> str:
        """What `as_loss` gives, in words."""
        if self.measure == "task":
            return "train loss" if self.task.differentiable else "minus fitness"
        return f"train {'error' if self.measure == 'accuracy' else self.measure.replace('-', ' ')}"

    @abstractmethod
    def draw(self) -> Any:
        """The batch of one generation, the same for all candidates."""

    @abstractmethod
    def __call__(self, population: Candidates, candidates: Tensor, batch: Any) -> Tensor:
        """Fitness (P,) of candidates (P, num_genes) on a batch that `draw` gave."""

    @abstractmethod
    def finish(self, phenotype: genophen.Phenotype) -> None:
        """Complete a phenotype that is to be measured."""

    def as_loss(self, fitness: Tensor) -> Tensor:
        """The training loss that a fitness stands for: the measure itself, or the share of errors."""
        return 1 - fitness if self.measure == "accuracy" else -fitness


class TaskFitness(Fitness):
    """The task's own fitness."""

    measure = "task"

    def draw(self) -> Any:
        return self.task.draw()

    def __call__(self, population: Candidates, candidates: Tensor, batch: Any) -> Tensor:
        found: list[Tensor] = []
        for part in population.parts(candidates):
            self.tell("evaluating candidates", sum(map(len, found)), len(candidates))
            found.append(self.task.fitness(population.networks(part), batch))
        return torch.cat(found)

    def finish(self, phenotype: genophen.Phenotype) -> None:
        """Nothing is missing."""


class DirectFitness(Fitness):
    """Candidates with the readout that they have, by a measure of labelled images, on training batches."""

    def __init__(self, context: genophen.Context, options: FitnessOptions) -> None:
        super().__init__(context, options)
        self.measure = options.fitness
        _ = context.batches  # which not every task has

    def draw(self) -> LabelledImages:
        return self.context.batches.next()

    def __call__(self, population: Candidates, candidates: Tensor, batch: LabelledImages) -> Tensor:
        images, labels = batch
        if self.measure == "cross-entropy":
            return -population.losses(candidates, images, labels)
        outputs = population.logits(candidates, images)
        return torch.stack([MEASURES[self.measure](each, labels) for each in outputs])

    def finish(self, phenotype: genophen.Phenotype) -> None:
        """Nothing is missing."""


class SolvedFitness(Fitness):
    """Candidates judged by what a linear readout makes of their features, solved anew for each of them.

    The readouts of a candidate are fitted to all folds of some training images but one, and judged on that
    one. The images are drawn for each generation, without augmentation.

    By default they are judged by what the regression itself minimises, the squared error, which tells
    candidates apart best: between two draws of images it agrees with itself, where cross-entropy, which a
    few images dominate, hardly does.
    """

    def __init__(self, context: genophen.Context, options: FitnessOptions) -> None:
        super().__init__(context, options)
        self.measure = "squared-error" if options.fitness == "auto" else options.fitness
        available = len(context.train_images)
        if options.ridge_images is None:
            self.derived = {"ridge_images": min(RIDGE_IMAGES, available)}
        elif options.ridge_images > available:
            raise genophen.ConfigError(
                "cannot draw the images for the ridge readout",
                found=f"ridge_images = {options.ridge_images:,}",
                allowed=f"up to {available:,}, the number of training images",
            )
        self._num_images = options.ridge_images or self.derived["ridge_images"]
        images, _ = context.train_images.take(torch.arange(2))
        self._name = solvable_readout(context, images)
        readout = context.phenotype.network.get_submodule(self._name)
        assert isinstance(readout, nn.Linear)
        self._shape = (readout.in_features, readout.out_features)
        self.solved = _parameters_of(self._name)

    def draw(self) -> LabelledImages:
        order = torch.randperm(len(self.context.train_images), generator=self.context.generator)
        return self.context.train_images.take(order[: self._num_images])

    def __call__(self, population: Candidates, candidates: Tensor, batch: LabelledImages) -> Tensor:
        images, labels = batch
        feature_bytes = 4 * len(images) * self._shape[0]
        step = max(1, FEATURE_BYTES // feature_bytes)
        fitness: list[Tensor] = []
        for part in candidates.split(step):
            for features in population.features(part, images, self._name):
                self.tell("evaluating candidates", len(fitness), len(candidates))
                fitness.append(self._judge(features, labels))
        return torch.stack(fitness)

    def finish(self, phenotype: genophen.Phenotype) -> None:
        """Solve the readout on all training images and write it into the phenotype's layer."""
        readout = phenotype.network.get_submodule(self._name)
        assert isinstance(readout, nn.Linear)
        population = genophen.Population(phenotype, sorted(self.solved))
        candidate = population.center()[None]
        regression = StreamedRidge(*self._shape, readout.weight.device)
        kept: list[tuple[Tensor, Tensor]] = []
        done, total = 0, len(self.context.train_images)
        for images, labels in self.context.train_images:
            self.tell("solving the readout", done, total)
            done += len(labels)
            features = population.features(candidate, images, self._name)[0]
            regression.add(features, labels)
            if not kept or self._options.readout == "svm":
                kept.append((features, labels))
        solution = regression.solve(self._options.ridge_lambda)
        if self._options.readout == "svm":
            every = torch.cat([features for features, _ in kept]), torch.cat([labels for _, labels in kept])
            solution = fit_svm(*every, solution, self._options.ridge_lambda)
        solution = solution.sharpened(*kept[0])
        with torch.no_grad():
            readout.weight.copy_(solution.weight)
            readout.bias.copy_(solution.bias)

    def _judge(self, features: Tensor, labels: Tensor) -> Tensor:
        """The fitness of one candidate's features (N, F)."""
        options, classes = self._options, self._shape[1]
        outputs = cross_validate(features, labels, classes, options.ridge_folds, options.ridge_lambda)
        return judge(outputs, labels, self.measure)


def solvable_readout(context: genophen.Context, images: Tensor) -> str:
    """The name of the layer that is solved, found on some images (N, C, H, W).

    Raises:
        ConfigError: where there is none, or one that the genotype writes.
    """
    name = find_readout(context.phenotype, context.readout, images)
    if not _parameters_of(name) <= {name for name, _ in context.phenotype.named_parameters()}:
        raise genophen.ConfigError(
            "cannot solve the readout in closed form",
            found=f"the genotype writes {name}",
            allowed="a readout among the direct parameters",
            next_step="narrow the architecture's expressed(), or set readout = 'direct'",
        )
    return name


def _parameters_of(readout: str) -> frozenset[str]:
    return frozenset({f"network.{readout}.weight", f"network.{readout}.bias"})


def solved_without_data(context: genophen.Context, options: FitnessOptions) -> frozenset[str]:
    """The parameters that `make_fitness` would solve, told before there is any data.

    Raises:
        ConfigError: where it would fail for another reason than the number of images.
    """
    if options.readout != "direct" or options.fitness != "auto":
        context.check_images()
    if options.readout == "direct":
        return frozenset()
    return _parameters_of(solvable_readout(context, context.task.example(2)))


def make_fitness(context: genophen.Context, options: FitnessOptions) -> Fitness:
    """The fitness that the settings ask for."""
    if options.readout != "direct":
        return SolvedFitness(context, options)
    return (TaskFitness if options.fitness == "auto" else DirectFitness)(context, options)


def make_population(
    phenotype: genophen.Phenotype, genes: list[str], options: EvolutionOptions
) -> genophen.Population:
    """The population that candidates of these genes are evaluated in."""
    # What training means by its precision: validation and test are in float32 all the same.
    precision = phenotype.training_precision or torch.float32
    return genophen.Population(phenotype, genes, block_bytes=options.memory_mb * 2**20, precision=precision)


def judge(outputs: Tensor, labels: Tensor, measure: str) -> Tensor:
    """How good a regression's outputs (N, K) on images that it has not seen are, a tensor of shape ()."""
    if measure == "cross-entropy":
        outputs = outputs * sharpness(outputs, labels)
    return MEASURES[measure](outputs, labels)


def _accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    """The share of right answers, a tensor of shape (); not a number where outputs (N, K) are not."""
    share = (outputs.argmax(1) == labels).float().mean()
    return share if bool(torch.isfinite(outputs).all()) else share * torch.nan


def _squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Minus the squared distance of outputs (N, K) from one-hot labels, a mean over images."""
    return -(outputs - F.one_hot(labels, outputs.shape[1])).square().sum(1).mean()


def _cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Minus the cross-entropy of outputs (N, K)."""
    return -F.cross_entropy(outputs, labels)


#: Higher is better, each a tensor of shape ().
MEASURES = {"cross-entropy": _cross_entropy, "squared-error": _squared_error, "accuracy": _accuracy}

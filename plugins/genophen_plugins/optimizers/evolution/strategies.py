"""Evolution strategies: CMA-ES, SNES and PGPE over a phenotype's genes, without any backward pass."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

import genophen
from genophen_plugins.optimizers.evolution.fitness import Fitness, RidgeFitness
from genophen_plugins.optimizers.evolution.searchers import (
    CMAESSearcher,
    PGPESearcher,
    Searcher,
    SNESSearcher,
)
from genophen_plugins.optimizers.evolution.workers import Workers

#: A full covariance matrix of more genes than this takes longer than the evaluation of the candidates.
FULL_COVARIANCE_GENES = 1500
#: Training images that readouts are solved and judged on, where there are as many.
RIDGE_IMAGES = 8000


class EvolutionOptions(genophen.Options):
    genes: Literal["embeddings", "genotype", "all"] = Field(
        "genotype", description="what is searched; 'all': the direct parameters, too (less a solved readout)"
    )
    population_size: int = Field(32, ge=4, le=100_000, description="candidates in a generation")
    generations_per_round: int = Field(20, ge=1, le=1_000_000, description="generations between validations")
    stdev_init: float = Field(
        0.1, gt=0, description="width of the search at the start, times each tensor's root mean square"
    )
    center_init: Literal["start", "zeros"] = Field(
        "start", description="where the search begins: at the genotype's initial (or warm) values, or at zero"
    )
    warm_start: genophen.PathOption | None = Field(
        None,
        description="run directory whose best weights to start from: same architecture and genotype",
    )
    fitness: Literal["auto", "cross-entropy", "squared-error", "accuracy"] = Field(
        "auto",
        description="what candidates are ranked by; 'squared-error': the outputs' distance from one-hot "
        "labels; 'auto': squared-error for a ridge readout, which minimises that, else cross-entropy",
    )
    readout: Literal["direct", "ridge", "svm"] = Field(
        "direct",
        description="'ridge': each candidate's last dense layer is solved in closed form on training images "
        "and judged on others; 'svm': so, too, but the layer that is kept is a support vector machine; "
        "'direct': the layer is as the genes, or the seed, have it",
    )
    ridge_lambda: float = Field(
        30.0, gt=0, le=1e9, description="penalty on a solved readout; it weighs as much as that many images"
    )
    ridge_images: int | None = Field(
        None,
        ge=4,
        description="training images of a generation on which readouts are solved and judged (default: "
        "8,000, or all where there are fewer)",
    )
    ridge_folds: int = Field(
        4, ge=2, le=100, description="parts of these images; each is judged by a readout solved on the others"
    )
    memory_mb: int = Field(
        10, ge=1, le=1_000_000, description="MiB of activations worked on at a time; more is seldom faster"
    )
    num_workers: int = Field(0, ge=0, le=10_000, description="Ray actors that share a generation; 0: none")
    ray_address: str = Field("", description="a Ray cluster to join; empty: a Ray on this machine")

    @model_validator(mode="after")
    def _folds_hold_images(self) -> EvolutionOptions:
        if self.ridge_images is not None and self.ridge_images < 2 * self.ridge_folds:
            raise ValueError(
                f"ridge_images of at least 2 a fold ({2 * self.ridge_folds}), not {self.ridge_images}"
            )
        return self


class Evolution(genophen.Optimizer):
    """One generation a step, all candidates on the same images; each round validates the search's centre."""

    options: EvolutionOptions

    @abstractmethod
    def make_searcher(self, num_genes: int, seed: int) -> Searcher:
        """The search in coordinates whose origin is the start and whose units are the genes' scales."""

    @classmethod
    def baselines(cls, options: genophen.Options) -> dict[str, dict[str, Any]]:
        """`start`: what there is before any search; `random`: as many candidates, drawn around the start."""
        given = options.model_dump(mode="json", exclude_unset=True)
        shared = {key: value for key, value in given.items() if key in EvolutionOptions.model_fields}
        start = {"name": "start", "start": {**shared, "generations_per_round": 1}}
        return {
            "start": {"optimizer": start, "training": {"rounds": 1}},
            "random": {"optimizer": {"name": "random-search", "random-search": shared}},
        }

    def setup(self, context: genophen.Context) -> None:
        self._context = context
        self.steps_per_round = self.options.generations_per_round
        names = context.phenotype.genes(self.options.genes)
        self._fitness: Fitness
        if self.options.readout != "direct":
            available = len(context.train_images)
            if self.options.ridge_images is None:
                self.derived = {"ridge_images": min(RIDGE_IMAGES, available)}
            self._fitness = RidgeFitness(context, self.options.model_copy(update=self.derived))
            names = [name for name in names if name not in self._fitness.solved]
        else:
            self._fitness = Fitness(context, self.options)
        # What training means by its precision: validation and test are in float32 all the same.
        precision = context.phenotype.training_precision or torch.float32
        self._population = genophen.Population(
            context.phenotype, names, block_bytes=self.options.memory_mb * 2**20, precision=precision
        )
        self.searched = self._population.num_genes
        self._workers: Workers | None = None
        self._started = False
        self._generation, self._non_finite, self._best = 0, 0, -torch.inf
        seed = int(torch.randint(2**31, (), generator=context.generator))
        self._searcher = self.make_searcher(self._population.num_genes, seed)

    def step(self) -> genophen.Metrics:
        self._start()
        images, labels = self._fitness.draw()
        fitness: Tensor | None = None

        def evaluate(coordinates: Tensor) -> Tensor:
            nonlocal fitness
            fitness = self._evaluate(self._candidates(coordinates), images, labels)
            return _ranked(fitness)

        self._searcher.step(evaluate)
        assert fitness is not None
        self._generation += 1
        finite = fitness[torch.isfinite(fitness)]
        self._non_finite += len(fitness) - len(finite)
        best = float(finite.max()) if len(finite) else -torch.inf
        self._best = max(self._best, best)
        return genophen.Metrics(
            train_loss=self._fitness.as_loss(finite.mean()),  # NaN where no candidate was finite
            extras={
                "fitness_mean": finite.mean(),
                "fitness_best": best,
                "fitness_best_so_far": self._best,
                "stdev": self._searcher.stdev(),
                "non_finite_candidates": float(self._non_finite),
            },
        )

    def finish_round(self) -> None:
        self._start()
        self._population.assign(self._candidates(self._searcher.center()[None])[0])
        self._fitness.finish(self._context.phenotype)

    def state_dict(self) -> dict[str, Any]:
        self._start()
        return {
            "searcher": self._searcher.state_dict(),
            "origin": self._origin,
            "scale": self._scale,
            "generation": self._generation,
            "non_finite": self._non_finite,
            "best": self._best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._searcher.load_state_dict(state["searcher"])
        self._origin, self._scale = state["origin"], state["scale"]
        self._generation, self._non_finite = state["generation"], state["non_finite"]
        self._best, self._started = state["best"], True

    def _start(self) -> None:
        """Find the start; not in `setup`, since a resumed run needs the warm one's files no more."""
        if self._started:
            return
        if self.options.warm_start is not None:
            genophen.load_weights(self._context.phenotype, Path(self.options.warm_start))
        center = self._population.center().cpu()
        self._scale = scales(center, [gene.numel() for gene in self._population.genes.values()])
        self._origin = torch.zeros_like(center) if self.options.center_init == "zeros" else center
        self._started = True

    def _candidates(self, coordinates: Tensor) -> Tensor:
        """Genes (P, num_genes), float32, of search coordinates (P, num_genes)."""
        return self._origin + self._scale * coordinates.to(torch.float32)

    def _evaluate(self, candidates: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        if not self.options.num_workers:
            return self._fitness(self._population, candidates, images, labels)
        if self._workers is None:
            names = list(self._population.genes)
            self._workers = Workers(self._context.phenotype, names, self._fitness, self.options)
        self._context.phenotype.samples.count(len(candidates) * len(images), None)
        return self._workers.evaluate(candidates, images, labels)


def _ranked(fitness: Tensor) -> Tensor:
    """Fitnesses that a search can sort: those that are not finite come below all others."""
    finite = torch.isfinite(fitness)
    worst = fitness[finite].min() if bool(finite.any()) else fitness.new_zeros(())
    return torch.where(finite, fitness, worst - 1)


def scales(center: Tensor, sizes: list[int]) -> Tensor:
    """Each gene's unit: the root mean square of its tensor or, of a tensor of zeros, what is usual."""
    rms = torch.stack([part.square().mean().sqrt() for part in center.split(sizes)])
    known = rms[rms > 0]
    usual = known.log().mean().exp() if len(known) else torch.ones(())  # geometric mean
    return torch.where(rms > 0, rms, usual).repeat_interleave(torch.tensor(sizes))


class CMAESOptions(EvolutionOptions):
    separable: bool | None = Field(
        None,
        description="a diagonal covariance matrix (Ros & Hansen 2008) instead of a full one (default: for "
        "more than 1,500 genes)",
    )


class CMAES(Evolution):
    name = "cma-es"
    description = "covariance matrix adaptation evolution strategy (Hansen & Ostermeier 2001)"
    Options: ClassVar[type[genophen.Options]] = CMAESOptions
    options: CMAESOptions

    def make_searcher(self, num_genes: int, seed: int) -> Searcher:
        separable = self.options.separable
        if separable is None:
            separable = num_genes > FULL_COVARIANCE_GENES
            self.derived = {**self.derived, "separable": separable}
        if num_genes > FULL_COVARIANCE_GENES and not separable:
            raise genophen.ConfigError(
                f"cannot evolve {num_genes:,} genes with a full covariance matrix",
                found=f"optimizer.cma-es.genes = {self.options.genes!r}, separable = false",
                allowed=f"up to {FULL_COVARIANCE_GENES:,} genes",
                next_step="leave separable to its default, or search fewer genes",
            )
        if num_genes < 2:
            raise genophen.ConfigError(
                "cannot evolve 1 gene with CMA-ES",
                found=f"optimizer.cma-es.genes = {self.options.genes!r}",
                allowed="2 genes or more",
                next_step="search more genes, or use --optimizer snes",
            )
        return CMAESSearcher(num_genes, seed, self.options.model_copy(update={"separable": separable}))


class SNES(Evolution):
    name = "snes"
    description = "separable natural evolution strategy (Schaul et al. 2011)"
    Options: ClassVar[type[genophen.Options]] = EvolutionOptions

    def make_searcher(self, num_genes: int, seed: int) -> Searcher:
        return SNESSearcher(num_genes, seed, self.options)


class PGPEOptions(EvolutionOptions):
    population_size: int = Field(
        32, ge=4, le=100_000, multiple_of=2, description="candidates in a generation, drawn in mirrored pairs"
    )


class PGPE(Evolution):
    name = "pgpe"
    description = (
        "policy gradients with parameter-based exploration (Sehnke et al. 2010), ClipUp (Toklu et al. 2020)"
    )
    Options: ClassVar[type[genophen.Options]] = PGPEOptions

    def make_searcher(self, num_genes: int, seed: int) -> Searcher:
        return PGPESearcher(num_genes, seed, self.options)


@genophen.hookimpl
def register_optimizers(register):  # type: ignore[no-untyped-def]
    for cls in (CMAES, SNES, PGPE):
        register(cls)

"""Evolution strategies: CMA-ES, SNES and PGPE over a phenotype's genes, without any backward pass."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

import genophen
from genophen_plugins.optimizers.evolution.fitness import (
    make_fitness,
    make_population,
    solved_without_data,
)
from genophen_plugins.optimizers.evolution.options import CMAESOptions, EvolutionOptions, PGPEOptions
from genophen_plugins.optimizers.evolution.restarts import make_cmaes
from genophen_plugins.optimizers.evolution.searchers import (
    PGPESearcher,
    Searcher,
    SNESSearcher,
)
from genophen_plugins.optimizers.evolution.workers import Workers

#: A full covariance matrix of more genes than this takes longer than the evaluation of the candidates.
FULL_COVARIANCE_GENES = 1500


class Evolution(genophen.Optimizer):
    """One generation a step, all candidates on the same batch; each round validates the search's centre."""

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

    def check(self, context: genophen.Context) -> None:
        phenotype, solved = context.phenotype, solved_without_data(context, self.options)
        genes = [name for name in phenotype.genes(self.options.genes) if name not in solved]
        self.searched = sum(phenotype.get_parameter(name).numel() for name in genes)
        if self.options.warm_start is not None:
            genophen.load_weights(phenotype, Path(self.options.warm_start), solved)
        self.make_searcher(self.searched, seed=0)

    def setup(self, context: genophen.Context) -> None:
        self._context = context
        self.steps_per_round = self.options.generations_per_round
        self._fitness = make_fitness(context, self.options)
        self.derived, self.train_loss = self._fitness.derived, self._fitness.loss_name
        names = context.phenotype.genes(self.options.genes)
        names = [name for name in names if name not in self._fitness.solved]
        self._population = make_population(context.phenotype, names, self.options)
        self.searched = self._population.num_genes
        self._workers: Workers | None = None
        self._started = False
        #: The search's answer that the phenotype holds, with its readout; none before a first round.
        self._finished: Tensor | None = None
        self._solution: Tensor | None = None
        self._generation, self._non_finite, self._best = 0, 0, -torch.inf
        seed = int(torch.randint(2**31, (), generator=context.generator))
        self._searcher = self.make_searcher(self._population.num_genes, seed)

    def step(self) -> genophen.Metrics:
        self._start()
        batch = self._fitness.draw()
        candidates = self._candidates(self._searcher.ask())
        fitness = self._evaluate(candidates, batch)
        self._searcher.tell(finite_for_ranking(fitness))
        self._generation += 1
        finite = fitness[torch.isfinite(fitness)]
        self._non_finite += len(fitness) - len(finite)
        best = float(finite.max()) if len(finite) else -torch.inf
        self._best = max(self._best, best)
        if self.options.target:
            self._look_for_solution(candidates, fitness)
        return genophen.Metrics(
            train_loss=self._fitness.as_loss(finite.mean()),  # NaN where no candidate was finite
            extras={
                "fitness_mean": finite.mean(),
                "fitness_best": best,
                "fitness_best_so_far": self._best,
                "stdev": self._searcher.stdev(),
                "non_finite_candidates": float(self._non_finite),
                **self._searcher.extras(),
            },
        )

    def finish_round(self) -> None:
        self._start()
        center = self._solution
        if center is None:
            center = self._candidates(self._searcher.center()[None])[0]
        if self._finished is not None and torch.equal(center, self._finished):
            return  # a search that has not moved, as the start does not: a solution would only cost again
        self._population.assign(center)
        self._fitness.finish(self._context.phenotype)
        self._finished = center

    def state_dict(self) -> dict[str, Any]:
        self._start()
        return {
            "searcher": self._searcher.state_dict(),
            "origin": self._origin,
            "scale": self._scale,
            "generation": self._generation,
            "non_finite": self._non_finite,
            "best": self._best,
            "finished": self._finished,
            "solution": self._solution,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._searcher.load_state_dict(state["searcher"])
        self._origin, self._scale = state["origin"], state["scale"]
        self._generation, self._non_finite = state["generation"], state["non_finite"]
        self._best, self._finished, self._started = state["best"], state.get("finished"), True
        self._take_solution(state.get("solution"))

    def _look_for_solution(self, candidates: Tensor, fitness: Tensor) -> None:
        def alone(index: int) -> genophen.Networks:
            return self._population.networks(candidates[index : index + 1])

        samples = self._context.phenotype.samples
        before = samples.test_episodes
        index = self._context.task.solved(alone, fitness)
        if index is None and samples.test_episodes > before:
            self._searcher.failed_test()
        self._take_solution(None if index is None else candidates[index].clone())

    def _take_solution(self, solution: Tensor | None) -> None:
        self._solution, self.stop_reason = solution, "" if solution is None else "solved"

    def _start(self) -> None:
        """Find the start; not in `setup`, since a resumed run needs the warm one's files no more."""
        if self._started:
            return
        if self.options.warm_start is not None:
            path = Path(self.options.warm_start)
            genophen.load_weights(self._context.phenotype, path, self._fitness.solved)
        center = self._population.center().cpu()
        self._scale = torch.ones_like(center)
        if self.options.gene_scale == "tensors":
            self._scale = scales(center, [gene.numel() for gene in self._population.genes.values()])
        self._origin = torch.zeros_like(center) if self.options.center_init == "zeros" else center
        self._started = True

    def _candidates(self, coordinates: Tensor) -> Tensor:
        """Genes (P, num_genes), float32, of search coordinates (P, num_genes)."""
        return self._origin + self._scale * coordinates.to(torch.float32)

    def _evaluate(self, candidates: Tensor, batch: Any) -> Tensor:
        if not self.options.num_workers:
            return self._fitness(self._population, candidates, batch)
        if self._workers is None:
            names = list(self._population.genes)
            self._workers = Workers(self._context.phenotype, names, self._fitness, self.options)
        return self._workers.evaluate(candidates, batch)


def finite_for_ranking(fitness: Tensor) -> Tensor:
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
        return make_cmaes(num_genes, seed, self.options, separable)


class SNES(Evolution):
    name = "snes"
    description = "separable natural evolution strategy (Schaul et al. 2011)"
    Options: ClassVar[type[genophen.Options]] = EvolutionOptions

    def make_searcher(self, num_genes: int, seed: int) -> Searcher:
        return SNESSearcher(num_genes, seed, self.options)


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

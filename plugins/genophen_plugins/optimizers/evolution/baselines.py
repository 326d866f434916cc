"""What a search is compared with: its start, and candidates drawn around the start at random."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

import genophen
from genophen_plugins.optimizers.evolution.options import EvolutionOptions
from genophen_plugins.optimizers.evolution.searchers import Searcher
from genophen_plugins.optimizers.evolution.strategies import Evolution


class StartSearcher(Searcher):
    """Stays where it is: the start alone is evaluated."""

    def __init__(self, num_genes: int) -> None:
        self._start = torch.zeros(num_genes, dtype=torch.float64)

    def ask(self) -> Tensor:
        return self._start[None]

    def tell(self, fitness: Tensor) -> None:
        pass

    def center(self) -> Tensor:
        return self._start

    def stdev(self) -> float:
        return 0.0

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class RandomSearcher(Searcher):
    """Draws every generation as evolution draws its first, and keeps the best candidate of all."""

    def __init__(self, num_genes: int, seed: int, options: EvolutionOptions) -> None:
        self._options = options
        self._generator = torch.Generator().manual_seed(seed)
        self._best, self._best_fitness = torch.zeros(num_genes, dtype=torch.float64), -torch.inf

    def ask(self) -> Tensor:
        shape = (self._options.population_size, len(self._best))
        drawn = torch.randn(shape, dtype=torch.float64, generator=self._generator)
        self._asked = drawn * self._options.stdev_init
        return self._asked

    def tell(self, fitness: Tensor) -> None:
        if float(fitness.max()) > self._best_fitness:
            self._best, self._best_fitness = self._asked[fitness.argmax()], float(fitness.max())

    def center(self) -> Tensor:
        """The best candidate; the start before there is any."""
        return self._best

    def stdev(self) -> float:
        return self._options.stdev_init

    def state_dict(self) -> dict[str, Any]:
        state = {"generator": self._generator.get_state()}
        return {**state, "best": self._best.clone(), "best_fitness": self._best_fitness}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.set_state(state["generator"])
        self._best, self._best_fitness = state["best"], state["best_fitness"]


class Start(Evolution):
    name = "start"
    description = "no search: the start, with a readout that is solved for it where one is asked for"
    Options: ClassVar[type[genophen.Options]] = EvolutionOptions

    def make_searcher(self, num_genes: int, seed: int) -> Searcher:
        return StartSearcher(num_genes)


class RandomSearch(Evolution):
    name = "random-search"
    description = "the best of candidates that are all drawn around the start"
    Options: ClassVar[type[genophen.Options]] = EvolutionOptions

    def make_searcher(self, num_genes: int, seed: int) -> Searcher:
        return RandomSearcher(num_genes, seed, self.options)


@genophen.hookimpl
def register_optimizers(register):  # type: ignore[no-untyped-def]
    for cls in (Start, RandomSearch):
        register(cls)

"""A search that begins anew where it no longer gets on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from genophen_plugins.optimizers.evolution.options import CMAESOptions
from genophen_plugins.optimizers.evolution.searchers import CMAESSearcher, Searcher


class RestartingSearcher(Searcher):
    """Another search in its place where it does not get on: it stagnates, or its best fail the task's test.

    What the last search had found is forgotten; its candidates count all the same.
    """

    def __init__(self, make: Callable[[int, int], Searcher], seed: int, options: CMAESOptions) -> None:
        """`make` gives a search of a seed and a population size."""
        self._make, self._options = make, options
        self._generator = torch.Generator().manual_seed(seed)
        self._restarts = 0
        self._searcher = make(seed, self._size)
        self._best, self._waited, self._failed = -torch.inf, 0, 0

    @property
    def _size(self) -> int:
        return round(self._options.population_size * self._options.restart_growth**self._restarts)

    def ask(self) -> Tensor:
        return self._searcher.ask()

    def tell(self, fitness: Tensor) -> None:
        self._searcher.tell(fitness)
        best = float(fitness.max())
        self._waited = 0 if best > self._best else self._waited + 1
        self._best = max(self._best, best)
        if self._options.restart_after is not None and self._waited >= self._options.restart_after:
            self._restart()

    def failed_test(self) -> None:
        self._failed += 1
        if (
            self._options.restart_after_tests is not None
            and self._failed >= self._options.restart_after_tests
        ):
            self._restart()

    def _restart(self) -> None:
        self._restarts += 1
        seed = int(torch.randint(2**31, (), generator=self._generator))
        self._searcher = self._make(seed, self._size)
        self._best, self._waited, self._failed = -torch.inf, 0, 0

    def center(self) -> Tensor:
        return self._searcher.center()

    def stdev(self) -> float:
        return self._searcher.stdev()

    def extras(self) -> dict[str, float]:
        return {"restarts": float(self._restarts)}

    def state_dict(self) -> dict[str, Any]:
        return {
            "restarts": self._restarts,
            "generator": self._generator.get_state(),
            "best": self._best,
            "waited": self._waited,
            "failed": self._failed,
            "searcher": self._searcher.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._restarts, self._best, self._waited = state["restarts"], state["best"], state["waited"]
        self._failed = state.get("failed", 0)  # older ones were not asked
        self._generator.set_state(state["generator"])
        self._searcher = self._make(0, self._size)
        self._searcher.load_state_dict(state["searcher"])


def make_cmaes(num_genes: int, seed: int, options: CMAESOptions, separable: bool) -> Searcher:
    """CMA-ES, with restarts where the options ask for them."""

    def make(seed: int, size: int) -> Searcher:
        sized = options.model_copy(update={"population_size": size})
        return CMAESSearcher(num_genes, seed, sized, separable)

    if options.restart_after is None and options.restart_after_tests is None:
        return make(seed, options.population_size)
    return RestartingSearcher(make, seed, options)

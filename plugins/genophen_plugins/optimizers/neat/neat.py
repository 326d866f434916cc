"""The optimizer `neat`: the graph that writes the weights evolves, structure and all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch

import genophen
from genophen_plugins.genotypes.cppn_graph import CPPNGraph
from genophen_plugins.genotypes.node_graph import Individual
from genophen_plugins.optimizers.evolution.fitness import make_fitness, solved_without_data
from genophen_plugins.optimizers.evolution.strategies import finite_for_ranking
from genophen_plugins.optimizers.neat.graphs import GraphPopulation
from genophen_plugins.optimizers.neat.search import NEATSearch, import_neat
from genophen_plugins.optimizers.neat.settings import NEATOptions


class NEAT(genophen.Optimizer):
    """One generation a step, all graphs on the same images; each round validates its best graph."""

    name = "neat"
    description = "neuroevolution of augmenting topologies (Stanley & Miikkulainen 2002), by neat-python"
    Options: ClassVar[type[genophen.Options]] = NEATOptions
    works_on = CPPNGraph
    charted: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "species": "species",
            "nodes": "nodes of the best graph",
            "connections": "connections of the best graph",
        }
    )
    options: NEATOptions
    _genotype: CPPNGraph

    def check(self, context: genophen.Context) -> None:
        import_neat()
        solved = solved_without_data(context, self.options)
        if self.options.warm_start is not None:
            genophen.load_weights(context.phenotype, Path(self.options.warm_start), solved)
        assert isinstance(context.phenotype.genotype, CPPNGraph)
        self._genotype = context.phenotype.genotype

    @property
    def searched(self) -> int:  # type: ignore[override]
        """Weights and biases of the genotype's graph as it is now: all that varies beside its structure."""
        return sum(parameter.numel() for parameter in self._genotype.parameters())

    def setup(self, context: genophen.Context) -> None:
        import_neat()  # where it is absent, an error before any work
        assert isinstance(context.phenotype.genotype, CPPNGraph)
        self._phenotype, self._genotype = context.phenotype, context.phenotype.genotype
        self.steps_per_round = self.options.generations_per_round
        self._fitness = make_fitness(context, self.options)
        self.derived, self.train_loss = self._fitness.derived, self._fitness.loss_name
        self._population = GraphPopulation(context.phenotype, self.options.memory_mb * 2**20)
        self._seed = int(torch.randint(2**31, (), generator=context.generator))
        self._search: NEATSearch | None = None
        self._best, self._non_finite = -torch.inf, 0

    def step(self) -> genophen.Metrics:
        search = self._started()
        batch = self._fitness.draw()
        candidates = self._population.take(search.ask())
        fitness = self._fitness(self._population, candidates, batch)
        search.tell(finite_for_ranking(fitness).tolist())
        finite = fitness[torch.isfinite(fitness)]
        self._non_finite += len(fitness) - len(finite)
        best = float(finite.max()) if len(finite) else -torch.inf
        self._best = max(self._best, best)
        return genophen.Metrics(
            train_loss=self._fitness.as_loss(finite.mean()),  # NaN where no graph's was finite
            extras={
                "fitness_mean": finite.mean(),
                "fitness_best": best,
                "fitness_best_so_far": self._best,
                "species": float(search.num_species),
                "nodes": float(len(search.best.graph.nodes)),
                "connections": float(len(search.best.graph.connections)),
                "non_finite_candidates": float(self._non_finite),
            },
        )

    def finish_round(self) -> None:
        self._genotype.become(self._started().best)
        self._fitness.finish(self._phenotype)

    def state_dict(self) -> dict[str, Any]:
        search = self._started().state_dict()
        return {"search": search, "best": self._best, "non_finite": self._non_finite}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._search = self._begun()
        self._search.load_state_dict(state["search"])
        self._best, self._non_finite = state["best"], state["non_finite"]

    def _started(self) -> NEATSearch:
        """The search; not begun in `setup`, since a resumed run needs the warm one's files no more."""
        if self._search is None:
            if self.options.warm_start is not None:
                path = Path(self.options.warm_start)
                genophen.load_weights(self._phenotype, path, self._fitness.solved)
            self._search = self._begun()
        return self._search

    def _begun(self) -> NEATSearch:
        genotype = self._genotype
        weights, biases = (each.detach().cpu().clone() for each in (genotype.weights, genotype.biases))
        return NEATSearch(Individual(genotype.graph, weights, biases), self.options, self._seed)


@genophen.hookimpl
def register_optimizers(register):  # type: ignore[no-untyped-def]
    register(NEAT)

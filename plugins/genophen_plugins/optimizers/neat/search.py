"""NEAT (Stanley & Miikkulainen 2002) as ask and tell: mutation, crossover and species are neat-python's."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from genophen_plugins.extras import needed
from genophen_plugins.genotypes.node_graph import Individual, NodeGraph
from genophen_plugins.optimizers.neat.genomes import from_individual, from_plain, to_individual, to_plain
from genophen_plugins.optimizers.neat.settings import NEATOptions, genome_parameters


class NEATSearch:
    """A population of graphs in species; `ask` gives its graphs, `tell` makes the next generation."""

    def __init__(self, start: Individual, options: NEATOptions, seed: int) -> None:
        """Begin with a graph, and with others of its structure whose weights lie around its own."""
        self._neat = import_neat()
        self._start, self._options = start, options
        self._random = random.Random(seed).getstate()
        graph, neat = start.graph, self._neat
        parameters = genome_parameters(options, graph.num_inputs, len(graph.outputs))
        genome_config = neat.DefaultGenome.parse_config(parameters)
        self._config = SimpleNamespace(genome_type=neat.DefaultGenome, genome_config=genome_config)
        reporters = neat.reporting.ReporterSet()
        stagnation = neat.DefaultStagnation(
            SimpleNamespace(
                species_fitness_func="max",
                max_stagnation=options.max_stagnation,
                species_elitism=options.species_elitism,
            ),
            reporters,
        )
        self._sizes = SimpleNamespace(survival_threshold=options.survival_threshold)
        self._reproduction = neat.DefaultReproduction(self._sizes, reporters, stagnation)
        # neat-python's own gives up where more than one child a species is too many.
        self._reproduction._adjust_spawn_exact = _sizes_that_sum_up
        self._species = neat.DefaultSpeciesSet(
            SimpleNamespace(compatibility_threshold=options.compatibility_threshold), reporters
        )
        self._reproduction.genome_indexer = _Counter(1)
        self._species.indexer = _Counter(1)
        genome_config.node_indexer = _Counter(len(graph.nodes))
        self._reproduction.innovation_tracker.global_counter = len(graph.connections)
        genome_config.innovation_tracker = self._reproduction.innovation_tracker
        self.generation = 0
        #: The best graph of the last generation; of none before the first.
        self.best = start
        with self._own_random():
            self._population = self._first_population()
            self._species.speciate(self._config, self._population, self.generation)

    @property
    def num_species(self) -> int:
        return len(self._species.species)

    def ask(self) -> list[Individual]:
        """The graphs of the present generation."""
        return [to_individual(each, self._config.genome_config) for each in self._population.values()]

    def tell(self, fitness: Sequence[float]) -> None:
        """Take the graphs' finite fitness, in the order of `ask`; higher is better."""
        for genome, value in zip(self._population.values(), fitness, strict=True):
            genome.fitness = float(value)
        best = max(self._population.values(), key=lambda genome: genome.fitness)
        self.best = to_individual(best, self._config.genome_config)
        size, reproduction = self._options.population_size, self._reproduction
        # neat-python refuses more species than have room for their least size.
        self._sizes.min_species_size = min(2, size // self.num_species)
        self._sizes.elitism = min(self._options.elitism, size // self.num_species)
        with self._own_random():
            self._population = reproduction.reproduce(self._config, self._species, size, self.generation)
            reproduction.ancestors.clear()  # kept by neat-python for ever, and read by nothing
            if not self._population:  # every species has ended
                self._population = self._first_population()
            self._species.speciate(self._config, self._population, self.generation)
        self.generation += 1

    def state_dict(self) -> dict[str, Any]:
        genomes = {key: to_plain(genome) for key, genome in self._population.items()}
        return {
            "random": self._random,
            "generation": self.generation,
            "genomes": list(genomes.values()),
            "species": [_species_to_plain(each) for each in self._species.species.values()],
            "counters": [counter.value for counter in self._counters()],
            "innovations": self._reproduction.innovation_tracker.global_counter,
            "best": _to_state(self.best),
            "start": _to_state(self._start),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._random = state["random"]
        self.generation = state["generation"]
        self._population = {each["key"]: from_plain(each, self._neat) for each in state["genomes"]}
        species = [self._species_from_plain(each) for each in state["species"]]
        self._species.species = {each.key: each for each in species}
        self._species.genome_to_species = {key: each.key for each in species for key in each.members}
        for counter, value in zip(self._counters(), state["counters"], strict=True):
            counter.value = value
        self._reproduction.innovation_tracker.global_counter = state["innovations"]
        self.best, self._start = _from_state(state["best"]), _from_state(state["start"])

    def _first_population(self) -> dict[int, Any]:
        """The start, and its structure with other weights."""
        population = {}
        spread = self._options.stdev_init
        for place in range(self._options.population_size):
            genome = from_individual(self._start, next(self._reproduction.genome_indexer), self._neat)
            if place:
                for gene in genome.connections.values():
                    gene.weight += random.gauss(0, spread)
                for node in genome.nodes.values():
                    node.bias += random.gauss(0, spread)
            population[genome.key] = genome
        return population

    def _species_from_plain(self, data: dict[str, Any]) -> Any:
        species = self._neat.species.Species(data["key"], data["created"])
        species.last_improved, species.fitness_history = data["last_improved"], list(data["history"])
        species.fitness = data["fitness"]
        members = {key: self._population[key] for key in data["members"]}
        species.update(self._population[data["representative"]], members)
        return species

    def _counters(self) -> list[_Counter]:
        return [
            self._reproduction.genome_indexer,
            self._species.indexer,
            self._config.genome_config.node_indexer,
        ]

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        """Python's global generator, from which neat-python draws, in this search's state."""
        others = random.getstate()
        version, words, gauss = self._random
        random.setstate((version, tuple(words), gauss))
        try:
            yield
        finally:
            self._random = random.getstate()
            random.setstate(others)


def import_neat() -> Any:
    """neat-python; a PluginError that says what installs it where it is absent."""
    return needed("neat", "neat", "cannot evolve graphs")


def _sizes_that_sum_up(sizes: list[int], total: int, least: int) -> list[int]:
    """Sizes of species, each at least `least`, that sum up to the population's, changed one by one."""
    sizes = list(sizes)
    while sum(sizes) < total:
        sizes[sizes.index(min(sizes))] += 1
    while sum(sizes) > total:
        sizes[sizes.index(max(sizes))] -= 1
    return sizes


class _Counter:
    """As itertools.count, but its next number can be read and set."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __next__(self) -> int:
        self.value += 1
        return self.value - 1


def _species_to_plain(species: Any) -> dict[str, Any]:
    return {
        "key": species.key,
        "created": species.created,
        "last_improved": species.last_improved,
        "history": species.fitness_history,
        "fitness": species.fitness,
        "members": list(species.members),
        "representative": species.representative.key,
    }


def _to_state(individual: Individual) -> list[Any]:
    return [individual.graph.plain(), individual.weights, individual.biases]


def _from_state(state: list[Any]) -> Individual:
    graph, weights, biases = state
    return Individual(NodeGraph.from_plain(graph, graph["inputs"], len(graph["outputs"])), weights, biases)

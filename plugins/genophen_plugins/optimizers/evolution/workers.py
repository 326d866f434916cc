"""A population spread over Ray actors, on this machine or a cluster."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch import Tensor

import genophen
from genophen_plugins.optimizers.evolution.fitness import Fitness, make_population
from genophen_plugins.optimizers.evolution.options import EvolutionOptions
from genophen_plugins.ray_cluster import start_ray


class Workers:
    """Actors that each evaluate the same share of every generation.

    An actor that dies is started again and does its share anew: which process computes a share does not
    change its result.
    """

    def __init__(
        self, phenotype: genophen.Phenotype, genes: list[str], fitness: Fitness, options: EvolutionOptions
    ) -> None:
        self._ray = start_ray(options.ray_address, "set num_workers = 0")
        _send_by_value(self._ray, [*phenotype.modules(), fitness.task])
        self._samples, self._task = phenotype.samples, fitness.task
        threads = max(1, (os.cpu_count() or 1) // options.num_workers)
        actor = self._ray.remote(
            num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy="SPREAD"
        )(_Worker)
        # Kept: an actor that is started again needs it.
        self._given = self._ray.put((phenotype, genes, fitness, options))
        self._actors = [actor.remote(self._given, threads) for _ in range(options.num_workers)]

    def evaluate(self, candidates: Tensor, batch: Any) -> Tensor:
        """Fitness (P,) of candidates (P, num_genes) on a batch, counted as if it were computed here."""
        shared = self._ray.put(batch)
        parts = [part for part in candidates.tensor_split(len(self._actors)) if len(part)]
        pending = [a.evaluate.remote(part, shared) for a, part in zip(self._actors, parts, strict=False)]
        try:
            found = self._ray.get(pending)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        for _, samples, notes in found:
            self._samples.add(samples)
            self._task.add_notes(notes)
        return torch.cat([fitness for fitness, *_ in found]).to(candidates.device)

    def process_ids(self) -> list[int]:
        """The actors' process numbers."""
        return list(self._ray.get([actor.process_id.remote() for actor in self._actors]))


class _Worker:
    def __init__(
        self,
        given: tuple[genophen.Phenotype, list[str], Fitness, EvolutionOptions],
        threads: int,
    ) -> None:
        torch.set_num_threads(threads)
        self._phenotype, genes, self._fitness, options = given
        self._phenotype.samples.take()  # they are counted where they come from
        self._population = make_population(self._phenotype, genes, options)

    def evaluate(self, candidates: Tensor, batch: Any) -> tuple[Tensor, genophen.SampleCounter, Any]:
        fitness = self._fitness(self._population, candidates, batch)
        return fitness, self._phenotype.samples.take(), self._fitness.task.take_notes()

    def process_id(self) -> int:
        return os.getpid()


def _send_by_value(ray: Any, objects: list[object]) -> None:
    """Have classes from single-file plugins sent along: other processes could not import them by name."""
    for name in {type(each).__module__ for each in objects}:
        module = sys.modules.get(name)
        if module is not None and not _importable(name.partition(".")[0]):
            ray.cloudpickle.register_pickle_by_value(module)


def _importable(name: str) -> bool:
    """Whether other processes find the module `name`; `importlib.util.find_spec` asks what is loaded here."""
    return any(finder.find_spec(name, None) is not None for finder in sys.meta_path)

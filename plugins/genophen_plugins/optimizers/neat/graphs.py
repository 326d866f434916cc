"""Graphs as the candidates of a population."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

import genophen
from genophen_plugins.genotypes.cppn_graph import CPPNGraph
from genophen_plugins.genotypes.node_graph import Individual

#: Bytes of the graphs' weights that are held at a time.
WEIGHT_BYTES = 256 * 2**20


class GraphPopulation:
    """Evaluates graphs as `genophen.Population` does genes; a candidate is its graph's number, (P, 1)."""

    def __init__(self, phenotype: genophen.Phenotype, block_bytes: int) -> None:
        assert isinstance(phenotype.genotype, CPPNGraph)
        self._phenotype, self._genotype, self._block_bytes = phenotype, phenotype.genotype, block_bytes
        self._graphs: Sequence[Individual] = []
        size = sum(target.initial.numel() for target in phenotype.targets.values())
        self._step = max(1, WEIGHT_BYTES // (4 * size))

    def take(self, graphs: Sequence[Individual]) -> Tensor:
        """Make graphs the candidates (P, 1)."""
        like = self._genotype.weights
        self._graphs = [Individual(g.graph, g.weights.to(like), g.biases.to(like)) for g in graphs]
        return torch.arange(len(graphs))[:, None]

    def parts(self, candidates: Tensor) -> tuple[Tensor, ...]:
        return candidates.split(self._step)

    def networks(self, candidates: Tensor) -> genophen.Networks:
        graphs = [self._graphs[number] for number in candidates[:, 0].tolist()]
        with torch.no_grad():
            written = self._genotype.express_all(graphs)
        return genophen.Networks(self._phenotype, written, block_bytes=self._block_bytes)

    def logits(self, candidates: Tensor, images: Tensor) -> Tensor:
        outputs = [self.networks(part)(images) for part in self.parts(candidates)]
        return torch.cat(outputs).float()

    def losses(self, candidates: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.logits(candidates, images)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), reduction="none")
        return losses.view(len(logits), -1).mean(1)

    def features(self, candidates: Tensor, images: Tensor, readout: str) -> Tensor:
        found = [self.networks(part).features(images, readout) for part in self.parts(candidates)]
        return torch.cat(found).float()

"""Populations: many candidates for a phenotype's numbers, evaluated on the same inputs at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from genophen.contracts.dynamic import DynamicGenotype
from genophen.contracts.genotype import Scope
from genophen.errors import ConfigError
from genophen.phenotype.phenotype import Phenotype
from genophen.population.evaluator import BLOCK_BYTES, Evaluator
from genophen.population.expression import MANY_NUMBERS, Expression
from genophen.population.genes import GenesThemselves
from genophen.population.inputs import Inputs
from genophen.population.nested import joined
from genophen.population.networks import Networks
from genophen.population.plan import Values

#: Bytes of candidates' weights that are written at a time, where each one's are few: see `MANY_NUMBERS`.
_WEIGHT_BYTES = 256 * 2**20


class Population:
    """Evaluates candidates: vectors of the numbers that a search varies, all else as the phenotype has it.

    Candidates run in eval mode, with the phenotype's buffers, which they never write. Their genes are written
    as weights, some candidates at a time where they are large, and these run as in `Networks`: what does not
    depend on the candidate is computed once for all. The outputs are those of the phenotype with the
    candidate's numbers in it, to float32 rounding.
    """

    def __init__(
        self,
        phenotype: Phenotype,
        genes: Sequence[str],
        *,
        block_bytes: int = BLOCK_BYTES,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """`genes`: names of the phenotype's parameters that vary, or one of its scopes, such as
        `"embeddings"` (see `Phenotype.genes`).

        `block_bytes` bounds the activations held at a time, or as many bytes as a candidate's own weights
        take; less than one image needs, it is exceeded. `precision` is that of the main network's arithmetic:
        kernels are expressed in full precision, and outputs are float32, in any case.

        Raises:
            ConfigError: for a name that is no parameter of the phenotype, or for no name.
        """
        known = dict(phenotype.named_parameters())
        if isinstance(genes, str):
            genes = [genes] if genes in known else phenotype.genes(cast("Scope", genes))
        if not genes or any(name not in known for name in genes):
            unknown = [name for name in genes if name not in known]
            raise ConfigError(
                "cannot make a population",
                found=f"no parameter {unknown[0]!r}" if unknown else "no genes",
                allowed=", ".join(known),
            )
        self.phenotype = phenotype
        self.genes = {name: known[name] for name in genes}
        self.num_genes = sum(parameter.numel() for parameter in self.genes.values())
        # A dynamic genotype writes while the network runs: then candidates are phenotypes of their own.
        dynamic = isinstance(phenotype.genotype, DynamicGenotype)
        self._expression = GenesThemselves(phenotype) if dynamic else Expression(phenotype)
        network = copy.deepcopy(phenotype) if dynamic else phenotype.materialize()
        self._evaluator = Evaluator(network.eval().requires_grad_(False).to(precision), block_bytes)

    def center(self) -> Tensor:
        """The phenotype's present numbers as a candidate, (num_genes,)."""
        return torch.cat([parameter.detach().flatten() for parameter in self.genes.values()])

    def assign(self, candidate: Tensor) -> None:
        """Write a candidate, (num_genes,), into the phenotype.

        Raises:
            ConfigError: for another shape.
        """
        if tuple(candidate.shape) != (self.num_genes,):
            raise ConfigError(
                "cannot write a candidate into the phenotype",
                found=f"a tensor of shape {tuple(candidate.shape)}",
                allowed=f"({self.num_genes},): one candidate",
            )
        with torch.no_grad():
            for name, value in self._split(candidate[None]).items():
                self.genes[name].copy_(value[0])

    @property
    def folded(self) -> bool | None:
        """Whether the last candidates ran traced, all together; None where nothing differed between them."""
        return None if self._evaluator.last is None else self._evaluator.last.kind == "folded"

    @property
    def reason(self) -> str:
        """Why they did not; empty where they did."""
        return "" if self._evaluator.last is None else self._evaluator.last.reason

    def networks(self, candidates: Tensor) -> Networks:
        """The candidates' networks, for inputs, outputs and losses of any kind.

        candidates: (P, num_genes). All their weights are held at once; what they do not vary stays as the
        phenotype has it now.
        """
        device = next(iter(self.genes.values())).device
        genes = self._split(self._checked(candidates).to(device))
        with torch.no_grad():
            varying = self._varying(genes)
            own = self._expression.weights(genes, varying)
            numbers = self._expression.numbers(genes)
            shared = {name: value.clone() for name, value in numbers.items() if name not in varying}
        count, samples = len(candidates), self.phenotype.samples
        return Networks.of_population(self._evaluator, own, shared, count, samples)

    def parts(self, candidates: Tensor) -> tuple[Tensor, ...]:
        """Candidates (P, num_genes) in the parts, in order, whose weights are best held at a time."""
        varying = self._varying(self._split(self._checked(candidates)))
        return candidates.split(self._step(varying, len(candidates)))

    def logits(self, candidates: Tensor, images: Tensor) -> Tensor:
        """Logits (P, N, num_outputs) of candidates (P, num_genes) on images (N, C, H, W)."""
        return self._outputs(candidates, images, None)

    def losses(self, candidates: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy (P,) of candidates (P, num_genes) on images (N, C, H, W), labels (N,)."""
        logits = self.logits(candidates, images)
        count, n, _ = logits.shape
        losses = F.cross_entropy(logits.flatten(0, 1), labels.repeat(count), reduction="none")
        return losses.view(count, n).mean(1)

    def features(self, candidates: Tensor, images: Tensor, readout: str) -> Tensor:
        """What goes into the module `readout`, (P, N, ...)."""
        return self._outputs(candidates, images, readout)

    def _outputs(self, candidates: Tensor, images: Tensor, before: str | None) -> Tensor:
        genes = self._split(self._checked(candidates).to(images.device))
        self.phenotype.samples.count(len(candidates) * len(images), None)
        inputs = Inputs((images,), {})
        with torch.no_grad():
            varying = self._varying(genes)
            numbers = self._expression.numbers(genes)
            first = {name: numbers.pop(name) for name in varying}
            self._evaluator.take(numbers)
            parts: list[Any] = []
            step = self._step(varying, len(candidates))
            kept: dict[int, Values] | None = {} if step < len(candidates) else None
            own: dict[str, Tensor] = {}
            for start in range(0, len(candidates), step):
                own.clear()  # what is written next takes the memory of what was last
                some = {name: stack[start : start + step] for name, stack in genes.items()}
                own |= self._expression.weights(some, varying, first)
                first = {}
                if images.is_contiguous():  # as in the phenotype: a network may rely on the order
                    for name in own:
                        own[name] = own[name].contiguous()
                count = min(step, len(candidates) - start)
                parts.append(self._evaluator.outputs(own, inputs, count, before, kept))
            output: Tensor = joined(parts, 0)
            return output.float()

    def _varying(self, genes: dict[str, Tensor]) -> set[str]:
        """Names of the plain network's numbers in which the candidates differ."""
        differing = {name: (stack != stack[:1]).any(0) for name, stack in genes.items()}
        return set(self._expression.reached(differing))

    def _step(self, varying: set[str], count: int) -> int:
        """How many candidates' weights are written at a time."""
        written = self._evaluator.network
        numbers = sum(written.get_parameter(name).numel() for name in varying)
        return min(count, _WEIGHT_BYTES // (4 * max(numbers, 1))) if numbers < MANY_NUMBERS else 1

    def _checked(self, candidates: Tensor) -> Tensor:
        if candidates.dim() != 2 or candidates.shape[1] != self.num_genes or not len(candidates):
            raise ConfigError(
                "cannot evaluate the candidates",
                found=f"shape {tuple(candidates.shape)}",
                allowed=f"(P, {self.num_genes}), P at least 1",
            )
        return candidates

    def _split(self, candidates: Tensor) -> dict[str, Tensor]:
        """Candidates (P, num_genes) as tensors (P, ...) by gene name."""
        sizes = [parameter.numel() for parameter in self.genes.values()]
        parts = candidates.split(sizes, dim=1)
        return {
            name: part.reshape(-1, *parameter.shape)
            for (name, parameter), part in zip(self.genes.items(), parts, strict=True)
        }

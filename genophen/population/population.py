"""Populations: many candidates for a phenotype's numbers, evaluated on the same images at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from genophen.errors import ConfigError
from genophen.phenotype.phenotype import Phenotype
from genophen.phenotype.targets import aliases
from genophen.population.calls import CannotFoldError
from genophen.population.graph import CandidateGraph, Plan

#: Bytes of activations that are worked on at a time unless told: about what a processor's caches hold.
BLOCK_BYTES = 10 * 2**20
#: Images that go through the shared part of the network together.
_BLOCK_IMAGES = 25
#: Candidates that lie next to each other are best as many as a processor's vectors hold, or a multiple.
_VECTOR = 16


class Population:
    """Evaluates candidates: vectors of the numbers that a search varies, all else as the phenotype has it.

    Candidates run in eval mode, with the phenotype's buffers, which they never write. What does not depend
    on the candidate is computed once for all of them; a network that cannot be traced runs for one candidate
    after the other. Either way the outputs are those of the phenotype with the candidate's numbers in it, to
    float32 rounding.
    """

    def __init__(
        self,
        phenotype: Phenotype,
        genes: Sequence[str],
        *,
        block_bytes: int = BLOCK_BYTES,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """`genes`: names of the phenotype's parameters that vary (see `Phenotype.genes`).

        `block_bytes` bounds the activations held at a time; less than one image needs, it is exceeded.
        `precision` is that of the main network's arithmetic: kernels are expressed in full precision, and
        outputs are float32, in any case.

        Raises:
            ConfigError: for a name that is no parameter of the phenotype, or for no name.
        """
        known = dict(phenotype.named_parameters())
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
        self._block_bytes, self._precision = block_bytes, precision
        self._network = phenotype.materialize().eval().to(precision)
        self._expression = _Expression(phenotype)
        self._graph: CandidateGraph | None = None
        self._folds: dict[tuple[str | None, frozenset[str]], bool] = {}
        self._largest_shared = self._largest = 1.0

    def center(self) -> Tensor:
        """The phenotype's present numbers as a candidate, (num_genes,)."""
        return torch.cat([parameter.detach().flatten() for parameter in self.genes.values()])

    def assign(self, candidate: Tensor) -> None:
        """Write a candidate, (num_genes,), into the phenotype."""
        with torch.no_grad():
            for name, value in self._split(candidate[None]).items():
                self.genes[name].copy_(value[0])

    def logits(self, candidates: Tensor, images: Tensor) -> Tensor:
        """Logits (P, N, num_classes) of candidates (P, num_genes) on images (N, C, H, W)."""
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
        if candidates.dim() != 2 or candidates.shape[1] != self.num_genes or not len(candidates):
            raise ConfigError(
                "cannot evaluate the candidates",
                found=f"shape {tuple(candidates.shape)}",
                allowed=f"(P, {self.num_genes}), P at least 1",
            )
        self.phenotype.samples.count(len(candidates) * len(images), None)
        with torch.no_grad():
            self._refresh()
            images = images.to(self._precision)
            return self._computed(candidates.to(images.device), images, before).float()

    def _computed(self, candidates: Tensor, images: Tensor, before: str | None) -> Tensor:
        parameters = self._parameters(candidates)
        if not parameters:  # one for all
            output = _one_by_one(self._network, parameters, images, before)
            return output.expand(len(candidates), *output.shape[1:])
        case = (before, frozenset(parameters))
        if case not in self._folds:
            # A network that draws in eval mode, too, goes on as if this had not been tried.
            with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
                self._folds[case] = self._can_fold(parameters, images, before)
        if not self._folds[case]:
            return _one_by_one(self._network, parameters, images, before)
        assert self._graph is not None
        return self._in_blocks(
            Plan(self._graph, parameters, before, self._precision), images, len(candidates)
        )

    def _in_blocks(self, plan: Plan, images: Tensor, count: int) -> Tensor:
        """The outputs of a plan, a block of images and a block of candidates at a time."""
        size = images.element_size()
        image_bytes = max(plan.largest_shared, self._largest_shared) * size
        pair_bytes = 2 * max(plan.largest, self._largest) * size
        image_step = max(1, min(len(images), _BLOCK_IMAGES, int(self._block_bytes / image_bytes)))
        candidate_step = max(1, int(self._block_bytes / (pair_bytes * image_step)))
        if candidate_step > _VECTOR:
            candidate_step -= candidate_step % _VECTOR
        outputs: Tensor | None = None
        for image_block in _slices(len(images), image_step):
            shared = plan.run_shared(images[image_block])
            for block in _slices(count, candidate_step):
                part = plan.run(shared, block, len(images[image_block]))
                if outputs is None:
                    outputs = part.new_empty(count, len(images), *part.shape[2:])
                outputs[block, image_block] = part
        assert outputs is not None
        return outputs

    def _can_fold(self, parameters: dict[str, Tensor], images: Tensor, before: str | None) -> bool:
        """Whether the trace gives what the network gives: tried on made-up candidates and images.

        Parts of a batch must give the same as all of it, or the network looks at a batch as a whole; one
        image is a part, since some networks take its axis away.
        """
        draws = torch.Generator().manual_seed(0)
        trial = torch.randn(4, *images.shape[1:], generator=draws).to(images)
        some = self._made_up(parameters, draws)
        expected = _one_by_one(self._network, some, trial, before)
        try:
            self._graph = self._graph or CandidateGraph(self._network)
            plan = Plan(self._graph, some, before, self._precision)
            parts = [plan.run(plan.run_shared(part), slice(None), len(part)) for part in trial.split([1, 3])]
            folded = torch.cat(parts, 1)
        except (CannotFoldError, RuntimeError, TypeError, ValueError, IndexError):
            # Anything that the operations on stacked tensors trip over: the network itself has just run.
            return False
        self._largest_shared, self._largest = plan.largest_shared, plan.largest
        if folded.shape != expected.shape:
            return False
        allowed = 1e-4 if self._precision == torch.float32 else 0.05
        difference = (folded.float() - expected.float()).abs().max()
        return bool(difference <= allowed * expected.float().abs().max().clamp_min(1e-6))

    def _made_up(self, names: Iterable[str], draws: torch.Generator) -> dict[str, Tensor]:
        """Two candidates near the network's own values, (2, ...) by name.

        A search's own ones may be not finite, and differ where an interrupted run goes on: folded or not,
        outputs are the same to rounding, not to the bit.
        """
        stacks: dict[Tensor, Tensor] = {}  # by the parameter itself: tied ones vary together
        for name in names:
            value = self._network.get_parameter(name)
            if value not in stacks:
                noise = torch.randn(2, *value.shape, generator=draws).to(value)
                rms = value.square().mean().sqrt()
                stacks[value] = value + 0.1 * noise * torch.where(rms > 0, rms, 1)
        return {name: stacks[self._network.get_parameter(name)] for name in names}

    def _parameters(self, candidates: Tensor) -> dict[str, Tensor]:
        """The plain network's parameters that differ between candidates, (P, ...) by every name of theirs."""
        genes = self._split(candidates)
        own: dict[str, Tensor] = {}
        for name, stack in genes.items():
            if name.startswith("network."):
                names = aliases(self.phenotype.network, name.removeprefix("network."))
                own |= dict.fromkeys(names, stack)
        of_genotype = {n.removeprefix("genotype."): v for n, v in genes.items() if n.startswith("genotype.")}
        if of_genotype:
            for name, stack in self._expression.stacks(of_genotype).items():
                if bool((stack == stack[:1]).all()):  # the genes do not reach it, or there is one candidate
                    self._network.get_parameter(name).copy_(stack[0])
                else:
                    own |= dict.fromkeys(self.phenotype.names_of[name], stack)
        return own

    def _split(self, candidates: Tensor) -> dict[str, Tensor]:
        """Candidates (P, num_genes) as tensors (P, ...) by gene name."""
        sizes = [parameter.numel() for parameter in self.genes.values()]
        parts = candidates.split(sizes, dim=1)
        return {
            name: part.reshape(-1, *parameter.shape)
            for (name, parameter), part in zip(self.genes.items(), parts, strict=True)
        }

    def _refresh(self) -> None:
        """Bring the plain network's numbers up to the phenotype's."""
        current = {**dict(self.phenotype.network.named_parameters()), **self._expression()}
        for name, value in {**current, **dict(self.phenotype.network.named_buffers())}.items():
            owner, _, attribute = name.rpartition(".")
            getattr(self._network.get_submodule(owner), attribute).copy_(value)


class _Expression(nn.Module):
    """A genotype's `express` as a module's forward, so that it can be called with other parameters."""

    def __init__(self, phenotype: Phenotype) -> None:
        super().__init__()
        self.genotype = phenotype.genotype

    def forward(self) -> dict[str, Tensor]:
        return self.genotype.express()

    def stacks(self, genes: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the genotype writes for each candidate, (P, ...) by target name."""
        count = len(next(iter(genes.values())))
        written = [
            functional_call(self, {f"genotype.{name}": stack[p] for name, stack in genes.items()}, ())
            for p in range(count)
        ]
        # Contiguous, as a phenotype's own: a convolution's output is in the order of its weight.
        return {name: torch.stack([weights[name].contiguous() for weights in written]) for name in written[0]}


def _one_by_one(
    network: nn.Module, parameters: dict[str, Tensor], images: Tensor, before: str | None
) -> Tensor:
    """The outputs (P, N, ...) of a plain network for each candidate by itself, buffers never written."""
    count = len(next(iter(parameters.values()))) if parameters else 1
    inputs: list[Tensor] = []
    module = network if before is None else network.get_submodule(before)
    hook = module.register_forward_pre_hook(
        lambda _, args, kwargs: inputs.append(next(iter((*args, *kwargs.values())))), with_kwargs=True
    )
    outputs = []
    try:
        for p in range(count):
            state = {name: stack[p].to(images.dtype) for name, stack in parameters.items()}
            state |= {name: buffer.clone() for name, buffer in network.named_buffers()}
            logits = functional_call(network, state, (images,), tie_weights=False)
            outputs.append(logits if before is None else inputs[-1])
    finally:
        hook.remove()
    return torch.stack(outputs)


def _slices(count: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, count)) for start in range(0, count, step))

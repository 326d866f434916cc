"""Phenotypes: a main network running on the weights that a genotype expresses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from genophen.contracts.dynamic import DynamicGenotype
from genophen.contracts.genotype import Genotype, Scope, Target
from genophen.errors import ConfigError, nearest
from genophen.phenotype.accounting import SampleCounter, on_backward
from genophen.phenotype.changing import ChangingWeights
from genophen.phenotype.gene_names import of_genotype, of_network
from genophen.phenotype.residual import Residual
from genophen.phenotype.slots import WeightSlots, make_parameters
from genophen.phenotype.summary import Summary
from genophen.phenotype.targets import aliases
from genophen.phenotype.through_time import scan
from genophen.phenotype.written import check_written, detached, held_at_zero

#: What `Phenotype.genes` knows.
SCOPES = ("embeddings", "generator", "genotype", "all")


@dataclass(frozen=True)
class ParameterCounts:
    """Trainable numbers of a phenotype, each tensor once.

    `total = kernel + direct`. `kernel` stands behind the expressed weights; `embedding` and `generator` are
    parts of it, the rest being biases that the genotype writes or, without any embedding, the weights.
    """

    total: int
    kernel: int
    embedding: int
    generator: int
    direct: int


@dataclass(frozen=True)
class _Cache:
    """What a genotype expressed, and from which numbers."""

    state: list[Tensor]
    channels_last: bool
    weights: dict[str, Tensor]


class Phenotype(nn.Module):
    """A main network whose expressed parameters come from a genotype at every call.

    Owns the genotype and the direct parameters; the expressed ones are no parameters of it. Made by
    `compile_phenotype` or `genophen.compile`; trained like any module.
    """

    def __init__(self, network: nn.Module, genotype: Genotype, targets: dict[str, Target]) -> None:
        """Take over `network`, emptied of the parameters that `genotype` writes (see `compile_phenotype`)."""
        super().__init__()
        with torch.no_grad():
            written = genotype.express()
        check_written(genotype, written, targets)
        self.targets = {name: target for name, target in targets.items() if name in written}
        #: Every name of each expressed tensor in the network, its own first: tied parameters have several.
        self.names_of = {name: aliases(network, name) for name in written}
        self._slots = WeightSlots(network, self.names_of)
        self._changing = (
            ChangingWeights(network, genotype, self._slots, self.targets)
            if isinstance(genotype, DynamicGenotype)
            else None
        )
        self.network = network
        self.genotype = genotype.train(network.training)
        self.training = network.training
        self._own_weights = _own_weights(genotype, written, targets)
        self.samples = SampleCounter()
        #: Lower precision (such as `torch.bfloat16`) for the network's arithmetic in training mode; the
        #: weights are expressed and the output is returned in full precision all the same.
        self.training_precision: torch.dtype | None = None
        self._cache: _Cache | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The network's output on its own arguments, e.g. images (N, C, H, W) to logits (N, num_outputs).

        In eval mode without gradients the weights are expressed once, until a parameter changes.
        """
        return self._run(self.network, *args, **kwargs)

    def sequence(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """All steps of a recurrent network: x (N, T, ...) to outputs (N, T, num_outputs) and the last state.

        `state`: what an earlier call returned, for sequences that go on; None at their start.
        """
        outputs: tuple[Tensor, Any] = self._run(
            getattr(self.network, "sequence", None) or partial(scan, self.network), x, state
        )
        return outputs

    def _run(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else next(iter(kwargs.values()), None)
        context: AbstractContextManager[Any] = nullcontext()
        if self.training and self.training_precision is not None and isinstance(first, Tensor):
            context = torch.autocast(first.device.type, self.training_precision)
        if self._changing is not None:
            with context:
                output = self._changing.run(call, *args, **kwargs)
        else:
            weights = self._weights(_is_channels_last(first))
            with self._slots.filled(weights), context:
                output = call(*args, **kwargs)
            on_backward(output, partial(self._slots.fill_until_backward_ends, weights))
        if not isinstance(context, nullcontext) and isinstance(output, Tensor):
            output = output.float()
        if isinstance(first, Tensor) and first.dim():
            self.samples.count(first.shape[0], output)
        return output

    def weights(self) -> dict[str, Tensor]:
        """The expressed tensors by name: fresh, with gradients, or in evaluation those of the last call.

        In evaluation they are the ones that the next call runs on: copy them before changing them in place.
        """
        return self._weights(channels_last=False)

    def _weights(self, channels_last: bool) -> dict[str, Tensor]:
        """The same, in memory as the genotype wrote them where images are in channels-last order.

        Otherwise each is contiguous: a convolution's output is in the order of its weight, and a network's
        code may rely on that of its input.
        """
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._express(channels_last)
        # The genotype is small, so that comparing all its numbers is cheap; version counters would miss
        # changes through `.data`, which is how search algorithms fill a network.
        state = [*self.genotype.parameters(), *self.genotype.buffers()]
        cache = self._cache
        if cache is None or cache.channels_last != channels_last or not _equal(state, cache.state):
            with torch.inference_mode(False), torch.no_grad():
                copies = [tensor.detach().clone() for tensor in state]
                cache = self._cache = _Cache(copies, channels_last, self._express(channels_last))
        return cache.weights

    def _express(self, channels_last: bool) -> dict[str, Tensor]:
        written = self.genotype.express()
        if not channels_last:
            for name in written:  # in place, so that the memory of one serves the next
                written[name] = written[name].contiguous()
        return written

    def materialize(self) -> nn.Module:
        """The main network as a plain module with the weights copied in, free of the genotype.

        Raises:
            ConfigError: of a dynamic genotype, whose weights are other ones at each step.
        """
        if self._changing is not None:
            raise ConfigError(
                "cannot make a plain network of the phenotype",
                found=f"the genotype {self.genotype.name} writes other weights at each step",
                allowed="a genotype that writes them once",
            )
        with torch.no_grad():
            weights = {n: nn.Parameter(w.detach().clone()) for n, w in self._express(False).items()}
        network = copy.deepcopy(self.network)
        make_parameters(network, self.names_of, weights)
        return network

    def direct_parameters(self) -> list[nn.Parameter]:
        """The main network's own parameters: those that no genotype writes."""
        return list(self.network.parameters())

    def held_at_zero(self) -> list[str]:
        """Names of the biases that the genotype writes as constant zeros."""
        return held_at_zero(self.genotype, self.targets)

    def genes(self, scope: Scope | Literal["all"]) -> list[str]:
        """Names of this phenotype's parameters that a search in `scope` varies; `all`: the direct ones, too.

        Raises:
            ConfigError: for a scope that there is not, and where the genotype has nothing in it.
        """
        if scope not in SCOPES:
            raise ConfigError(
                f"cannot select the genes {scope!r}",
                found="no such scope",
                allowed=", ".join(SCOPES),
                next_step=nearest(scope, SCOPES) if isinstance(scope, str) else "",
            )
        names = of_genotype(self.genotype.genes("genotype" if scope == "all" else scope))
        if scope == "all":
            names += of_network(name for name, _ in self.network.named_parameters())
        return [name for name in names if self.get_parameter(name).requires_grad]

    def parameter_counts(self) -> ParameterCounts:
        """How many numbers are trained, and what they are for."""
        kernel = _trainable(self.genotype.parameters())
        direct = _trainable(self.network.parameters())
        return ParameterCounts(
            total=kernel + direct,
            kernel=kernel,
            embedding=self._count_scope("embeddings"),
            generator=self._count_scope("generator"),
            direct=direct,
        )

    def summary(self) -> str:
        """What is written, of which shapes and kinds, from how many numbers, and what is trained directly."""
        return self._summary().text()

    def _repr_html_(self) -> str:
        """The summary as a table for notebooks."""
        return self._summary().as_html()

    def excess(self) -> str:
        """In words, that the genotype has more numbers than it writes; empty where it has not."""
        return self._summary().excess

    def detached(self) -> str:
        """In words, that no gradient reaches the genotype; empty where one does."""
        return detached(self.genotype)

    def _summary(self) -> Summary:
        counts = self.parameter_counts()
        return Summary(
            self.genotype.name, list(self.targets.values()), counts.kernel, counts.direct, self._own_weights
        )

    def _count_scope(self, scope: Scope) -> int:
        try:
            names = self.genotype.genes(scope)
        except ConfigError:  # a genotype without such genes has none to count
            return 0
        return _trainable(self.genotype.get_parameter(name) for name in names)


def _own_weights(genotype: Genotype, written: dict[str, Tensor], targets: dict[str, Target]) -> str:
    """In words, what becomes of the weights that the network was built or loaded with."""
    if isinstance(genotype, Residual):
        return "what is written is added to the network's own weights, which are frozen"
    if all(torch.equal(weight, targets[name].initial) for name, weight in written.items()):
        return "what is written begins as the network's own weights"
    return (
        "the network's own weights are not used where a genotype writes; base='initial' adds to them, "
        "genophen.fit comes near them"
    )


def _is_channels_last(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.dim() == 4
        and value.is_contiguous(memory_format=torch.channels_last)
        and not value.is_contiguous()
    )


def _trainable(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad)


def _equal(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    return len(left) == len(right) and all(
        a.device == b.device and a.dtype == b.dtype and torch.equal(a, b)
        for a, b in zip(left, right, strict=True)
    )

"""Networks: many weight sets of one network, called like the network."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genophen.contracts.dynamic import DynamicGenotype
from genophen.errors import ConfigError
from genophen.phenotype.accounting import SampleCounter
from genophen.phenotype.phenotype import Phenotype
from genophen.phenotype.targets import aliases
from genophen.population.evaluator import BLOCK_BYTES, Evaluator
from genophen.population.inputs import Inputs
from genophen.population.nested import Varying, mapped

#: What a network's `forward` calls the state that it carries; torch's own modules say `hx`.
_STATES = ("state", "hx")


class Networks:
    """P weight sets of one network, in eval mode and without gradients, called like the network itself.

    What does not depend on the candidate is computed once for all of them. A network whose code cannot be
    traced runs over a mapped axis, or one candidate after the other: `folded` and `reason` say so. Outputs
    are each candidate's by itself, to float32 rounding.
    """

    def __init__(
        self, network: nn.Module, weights: Mapping[str, Tensor], *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        """`network`: any module, or a phenotype, as it is now: a copy is kept.

        `weights`: for names of the plain network's parameters, those that differ, (P, *shape). `block_bytes`
        bounds the activations held at a time (see `Population`).

        Raises:
            ConfigError: for names that are no parameter's, wrong shapes, or none at all.
        """
        plain = network.materialize() if isinstance(network, Phenotype) else copy.deepcopy(network)
        count = _check(plain, weights)
        own = {alias: weights[name] for name in weights for alias in aliases(plain, name)}
        evaluator = Evaluator(plain.eval().requires_grad_(False), block_bytes)
        samples = network.samples if isinstance(network, Phenotype) else SampleCounter()
        self._begin(evaluator, own, {}, count, samples)

    @classmethod
    def of_population(
        cls,
        evaluator: Evaluator,
        weights: dict[str, Tensor],
        shared: dict[str, Tensor],
        count: int,
        samples: SampleCounter,
    ) -> Networks:
        """Networks that share an evaluator, and what it has found out, with those of other candidates.

        `shared`: the numbers of the network that are the same for all `count` candidates.
        """
        networks = cls.__new__(cls)
        networks._begin(evaluator, weights, shared, count, samples)
        return networks

    @classmethod
    def of(cls, phenotype: Phenotype) -> Networks:
        """A phenotype as it is now, as one network."""
        if isinstance(phenotype.genotype, DynamicGenotype):  # which writes while the network runs
            network = copy.deepcopy(phenotype).eval().requires_grad_(False)
            weights = {name: each.detach()[None] for name, each in network.named_parameters()}
            return cls.of_population(Evaluator(network), weights, {}, 1, phenotype.samples)
        plain = phenotype.materialize()
        return cls(phenotype, {name: each.detach()[None] for name, each in plain.named_parameters()})

    def _begin(
        self,
        evaluator: Evaluator,
        weights: dict[str, Tensor],
        shared: dict[str, Tensor],
        count: int,
        samples: SampleCounter,
    ) -> None:
        self.count = count
        self._evaluator, self._weights, self._shared, self._samples = evaluator, weights, shared, samples
        network = evaluator.network
        self._forward = inspect.signature(
            network.network.forward if isinstance(network, Phenotype) else network.forward
        )

    def __call__(self, *args: Any, own: bool = False, **kwargs: Any) -> Any:
        """The network's output on its own arguments, each of its tensors with the candidates first, (P, ...).

        Tensors, also within tuples and dicts, are shared by all candidates, (N, ...), or with `own` each
        candidate's own, (P, N, ...). The argument that the network's `forward` calls `state` (or `hx`) is
        always each candidate's own: what an earlier call returned, or None.

        `outputs = networks(images)`; `outputs, state = networks(x, state)`.
        """
        inputs = self._inputs(args, kwargs, own)
        return self._outputs(inputs, None)

    @property
    def network(self) -> nn.Module:
        """The plain network; its own numbers mean nothing."""
        return self._evaluator.network

    @property
    def samples(self) -> SampleCounter:
        """What counts the samples that these networks are run on."""
        return self._samples

    @property
    def carries_state(self) -> bool:
        """Whether the network takes a state and gives the next one beside its output."""
        return any(name in _STATES for name in self._forward.parameters)

    def weights(self) -> dict[str, Tensor]:
        """All parameters of all networks, (P, *shape) by name."""
        own = {name: self._weights.get(name) for name, _ in self.network.named_parameters()}
        return {name: self._shared_by_all(name) if stack is None else stack for name, stack in own.items()}

    def _shared_by_all(self, name: str) -> Tensor:
        value = self._shared.get(name)
        value = self.network.get_parameter(name) if value is None else value
        return value.detach().expand(self.count, *value.shape)

    def some(self, rows: Tensor) -> Networks:
        """Those of these rows."""
        chosen = {name: stack[rows] for name, stack in self._weights.items()}
        return Networks.of_population(self._evaluator, chosen, self._shared, len(rows), self._samples)

    def to(self, precision: torch.dtype) -> Networks:
        """The same networks with their arithmetic in another precision."""
        evaluator = self._evaluator.to(precision)
        return Networks.of_population(evaluator, self._weights, self._shared, self.count, self._samples)

    def sequence(self, x: Tensor, state: Any = None, *, own: bool = False) -> tuple[Tensor, Any]:
        """All steps of recurrent networks: outputs (P, N, T, ...) and the last state.

        x: (N, T, ...), or with `own` each candidate's own, (P, N, T, ...). One candidate on one sequence
        counts as one sample, as in `Phenotype.sequence`.
        """
        inputs = x.movedim(2 if own else 1, 0)  # (T, ...)
        outputs = []
        with self._samples.paused():
            for x_t in inputs:
                output, state = self(x_t, state, own=own)
                outputs.append(output)
        self._samples.count(self.count * x.shape[1 if own else 0], None)
        return torch.stack(outputs, 2), state

    def features(self, x: Any, readout: str, *, own: bool = False) -> Tensor:
        """What goes into the module `readout`, (P, N, ...), for inputs x as in a call."""
        found: Tensor = self._outputs(self._inputs((x,), {}, own), readout)
        return found

    @property
    def folded(self) -> bool | None:
        """Whether the last call ran traced, all candidates together; None before the first."""
        return None if self._evaluator.last is None else self._evaluator.last.kind == "folded"

    @property
    def reason(self) -> str:
        """Why the last call was not folded; empty where it was."""
        return "" if self._evaluator.last is None else self._evaluator.last.reason

    def _outputs(self, inputs: Inputs, before: str | None) -> Any:
        self._samples.count(self.count * inputs.examples, None)
        weights = self._weights
        if inputs.contiguous:  # as in the phenotype: a network may rely on the order
            weights = {name: stack.contiguous() for name, stack in weights.items()}
        with torch.no_grad():
            self._evaluator.take(self._shared)
            return self._evaluator.outputs(weights, inputs, self.count, before)

    def _inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any], own: bool) -> Inputs:
        names = list(self._forward.bind(*args, **kwargs).arguments)
        positional = [
            self._marked(arg, own or name in _STATES)
            for arg, name in zip(args, [*names, *[""] * len(args)], strict=False)
        ]
        named = {name: self._marked(arg, own or name in _STATES) for name, arg in kwargs.items()}
        return Inputs(tuple(positional), named)

    def _marked(self, value: Any, own: bool) -> Any:
        return mapped(value, self._as_own) if own else value

    def _as_own(self, item: Any) -> Any:
        if not isinstance(item, Tensor):
            return item
        if not item.dim() or len(item) != self.count:
            raise ConfigError(
                "cannot run the networks on inputs of their own",
                found=f"a tensor of shape {tuple(item.shape)}",
                allowed=f"the {self.count} networks' own along the first axis",
                next_step="give inputs that all share without own=True",
            )
        return Varying(item)


def _check(network: nn.Module, weights: Mapping[str, Tensor]) -> int:
    """How many weight sets there are."""
    known = dict(network.named_parameters(remove_duplicate=False))
    attempted = "cannot make networks of these weights"
    if not weights or any(name not in known for name in weights):
        unknown = [name for name in weights if name not in known]
        raise ConfigError(
            attempted, found=f"no parameter {unknown[0]!r}" if unknown else "none", allowed=", ".join(known)
        )
    count = len(next(iter(weights.values())))
    for name, stack in weights.items():
        if not count or tuple(stack.shape) != (count, *known[name].shape):
            raise ConfigError(
                attempted,
                found=f"shape {tuple(stack.shape)} for {name!r}",
                allowed=f"{tuple(known[name].shape)} behind one number of weight sets, at least 1, for all",
            )
    return count

"""Many candidates of one network, a block of examples and of candidates at a time."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genophen.population.alone import one_by_one
from genophen.population.graph import CandidateGraph
from genophen.population.inputs import Inputs
from genophen.population.nested import Varying, items, joined, mapped
from genophen.population.plan import Kernels, Plan, Values
from genophen.population.vectorized import vectorized
from genophen.population.ways import SMALL, Way, find_way, precision_of

#: Bytes of activations that are worked on at a time unless told: about what a processor's caches hold.
BLOCK_BYTES = 10 * 2**20
#: Examples that go through the network together, where kernels are few numbers beside activations.
_BLOCK_EXAMPLES = 25
#: Candidates that lie next to each other are best as many as a processor's vectors hold, or a multiple.
_VECTOR = 16

_log = logging.getLogger("genophen.population")


class Evaluator:
    """Runs a plain network, which it may change, with many candidates' parameters."""

    def __init__(self, network: nn.Module, block_bytes: int = BLOCK_BYTES) -> None:
        """`network`: in eval mode, without gradients. `block_bytes` bounds the activations held at a time.

        They may take as much as one candidate's own weights, and what one example of one candidate needs.
        """
        self.network, self._block_bytes = network, block_bytes
        self._ways: dict[tuple[frozenset[str], str | None, str, torch.dtype], Way] = {}
        self._graphs: dict[str, CandidateGraph] = {}
        self._places: dict[str, Tensor] = {
            **dict(network.named_parameters(remove_duplicate=False)),
            **dict(network.named_buffers(remove_duplicate=False)),
        }
        self._precision = precision_of(network)
        self._taken: Mapping[str, Tensor] = {}
        self._in_other_precisions: dict[torch.dtype, Evaluator] = {}
        #: How the last candidates ran; None before, or where nothing differed between them.
        self.last: Way | None = None

    def take(self, numbers: Mapping[str, Tensor]) -> None:
        """Give the network numbers that all candidates share, by name, unless it took them last."""
        if numbers is self._taken:
            return
        for name, value in numbers.items():
            place = self._places[name]
            if isinstance(place, nn.Parameter):
                place.data = value.detach().to(place.dtype)  # without a copy, which no network writes
            else:
                place.copy_(value)
        self._taken = numbers

    def to(self, precision: torch.dtype) -> Evaluator:
        """An evaluator of the same network in another precision; made once."""
        if precision == self._precision:
            return self
        if precision not in self._in_other_precisions:
            network = copy.deepcopy(self.network).to(precision)
            self._in_other_precisions[precision] = Evaluator(network, self._block_bytes)
        return self._in_other_precisions[precision]

    def way(self, parameters: Mapping[str, Tensor], inputs: Inputs, before: str | None) -> Way:
        """How candidates of these parameters, (P, ...) by name, run on inputs of this structure."""
        case = (frozenset(parameters), before, inputs.structure, self._precision)
        if case not in self._ways:
            device = next(self.network.parameters()).device
            # A network that draws in eval mode, too, goes on as if this had not been tried.
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                self._ways[case] = find_way(self.network, self._graphs, case[0], inputs, before)
            way = self._ways[case]
            _log.debug("candidates run %s%s", way.kind, f": {way.reason}" if way.reason else "")
        return self._ways[case]

    def outputs(
        self,
        parameters: Mapping[str, Tensor],
        inputs: Inputs,
        count: int,
        before: str | None = None,
        kept: dict[int, Values] | None = None,
    ) -> Any:
        """The network's output, its tensors (P, ...), for `count` candidates P.

        `parameters`: those that vary, (P, ...) by every name of theirs. `before`: the name of a module whose
        input is wanted instead. `kept`, where given, takes what these candidates share with those of a next
        call on the same inputs.
        """
        inputs = inputs.to(self._precision)
        self.last = None
        if not parameters and not any(isinstance(item, Varying) for item in inputs.tensors):
            alone = one_by_one(self.network, {}, inputs.value, 1, before)
            return mapped(alone, lambda item: _expanded(item, count))
        way = self.last = self.way(parameters, inputs, before)
        if way.plan is not None:
            return self._folded(way.plan, way.cuttable, dict(parameters), inputs, count, kept)
        rounded = {name: stack.to(self._precision) for name, stack in parameters.items()}
        compute = one_by_one if way.kind == "one by one" else vectorized
        bytes_each = 2 * way.largest * self._precision.itemsize
        examples, candidates = inputs.examples, 1
        if way.cuttable:
            examples = _as_many(self._limit(parameters) / bytes_each, inputs.examples)
        if compute is vectorized:
            candidates = _as_many(self._block_bytes / (bytes_each * examples), count)
        parts = []
        for block in _slices(inputs.examples, examples) if way.cuttable else [slice(None)]:
            rows = [
                compute(
                    self.network,
                    {name: stack[some] for name, stack in rounded.items()},
                    inputs.cut(block).some(some).value,
                    some.stop - some.start,
                    before,
                )
                for some in _slices(count, candidates)
            ]
            parts.append(joined(rows, 0))
        return joined(parts, 1)

    def _limit(self, parameters: Mapping[str, Tensor]) -> float:
        """Bytes of activations at a time: more than caches hold where the weights do not fit them either."""
        own = sum(stack[0].numel() for stack in parameters.values()) * self._precision.itemsize
        return max(self._block_bytes, own)

    def _folded(
        self,
        plan: Plan,
        cuttable: bool,
        parameters: dict[str, Tensor],
        inputs: Inputs,
        count: int,
        kept: dict[int, Values] | None,
    ) -> Any:
        """A plan's outputs, a block of examples and a block of candidates at a time."""
        kernels = Kernels({name: stack.to(self._precision) for name, stack in parameters.items()})
        if kept is None:
            kernels = plan.find_kernels(parameters, self._precision, inputs.examples)
        examples, candidates = self._blocks(plan, kernels, inputs.examples, count, cuttable)
        parts = []
        for block in _slices(inputs.examples, examples) if cuttable else [slice(None)]:
            cut = inputs.cut(block)
            given, held = cut.tensors, cut.examples
            shared = (kept or {}).get(block.start or 0)
            if shared is None:
                shared = plan.run_shared(given, kernels, held)
                if kept is not None and (
                    not kept or _bytes(kept) + _bytes(shared) <= self._limit(parameters)
                ):
                    kept[block.start or 0] = shared
            if candidates == 1 and not kernels.bases:
                rows = [plan.run_alone(shared, given, kernels, p) for p in range(count)]
            else:
                rows = [
                    plan.run(shared, given, kernels, some, some.stop - some.start, held)
                    for some in _slices(count, candidates)
                ]
            parts.append(joined(rows, 0))
        return joined(parts, 1)

    def _blocks(
        self, plan: Plan, kernels: Kernels, examples: int, count: int, cuttable: bool
    ) -> tuple[int, int]:
        """How many examples and candidates at a time."""
        size, limit = self._precision.itemsize, self._limit(kernels.parameters)
        pair = 2 * plan.largest * size
        if cuttable:
            # What kernels have in common makes them few numbers beside activations, which caches are to hold.
            most = _BLOCK_EXAMPLES if kernels.bases else examples
            examples = min(_as_many(limit / max(plan.largest_shared * size, pair), examples), most)
        if plan.convolves and not kernels.bases and plan.largest * examples > 2 * SMALL:
            return examples, 1  # together they would only be copied
        candidates = _as_many(self._block_bytes / (pair * examples), count)
        return examples, candidates - candidates % _VECTOR if candidates > _VECTOR else candidates


def _expanded(item: Any, count: int) -> Any:
    return item.expand(count, *item.shape[1:]) if isinstance(item, Tensor) else item


def _bytes(value: Any) -> int:
    return sum(item.numel() * item.element_size() for item in items(value) if isinstance(item, Tensor))


def _as_many(fitting: float, wanted: int) -> int:
    return max(1, min(wanted, int(fitting)))


def _slices(count: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, count)) for start in range(0, count, step))

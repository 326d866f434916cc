"""A traced network with parameters that vary: what is the same for all candidates runs once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from genophen.population.alone import with_numbers
from genophen.population.calls import alone_on_one, call_for_all
from genophen.population.graph import CandidateGraph
from genophen.population.kernels import (
    ChannelFactors,
    KernelBasis,
    basis_may_pay,
    factors_may_pay,
    find_basis,
    find_factors,
)
from genophen.population.layers import CONVOLUTIONS
from genophen.population.nested import CannotFoldError, Varying, in_usual_order, items, mapped

Values = dict[fx.Node, Any]


@dataclass(frozen=True)
class Kernels:
    """P candidates' parameters, and what the kernels of single convolutions were found to have in common."""

    parameters: dict[str, Tensor]
    bases: dict[fx.Node, KernelBasis] = field(default_factory=dict)
    factors: dict[fx.Node, ChannelFactors] = field(default_factory=dict)


class Plan:
    """A graph and the names of what varies: which operations run for all, and which for each candidate."""

    def __init__(
        self, graph: CandidateGraph, names: frozenset[str], own_inputs: Sequence[bool], before: str | None
    ) -> None:
        """`names` of the parameters that vary; `before`: see `CandidateGraph.result`.

        `own_inputs`: for each input whether each candidate has its own.
        """
        self._graph = graph
        self._parameters = {name: graph.network.get_parameter(name) for name in names}
        self._result = graph.result(before)
        nodes = graph.ancestors(self._result)
        self._places = {node: place for place, node in enumerate(graph.inputs)}
        self._own_names = {node: self._names_of(node, names) for node in nodes}
        varying: set[fx.Node] = set()
        for node in nodes:
            own = own_inputs[self._places[node]] if node in self._places else bool(self._own_names[node])
            if own or any(source in varying for source in node.all_input_nodes):
                varying.add(node)
        self._shared = [node for node in nodes if node not in varying]
        self._varying = [node for node in nodes if node in varying]
        results = {item for item in items(self._result) if isinstance(item, fx.Node)}
        if not results:
            raise CannotFoldError("the output holds no tensor of the trace")
        #: What the candidates take of the shared values, and after which node each value is needed no more.
        self._taken = results.union(*(node.all_input_nodes for node in self._varying))
        self._last = _last_uses(nodes, results)
        self._looped: set[Any] = set()
        self._functions = {node: graph.function(node) for node in nodes if node.op.startswith("call_")}
        #: Those called on one value alone: what is called, and on which node's.
        self._single = {
            node: (alone_on_one(function), node.args[0])
            for node, function in self._functions.items()
            if len(node.args) == 1 and not node.kwargs and isinstance(node.args[0], fx.Node)
        }
        #: Whether each candidate's convolutions run by themselves, as they do on a CPU.
        self.convolves = any(self._is_convolution(node) for node in self._varying if self._own_names[node])
        #: Numbers in the largest tensor of one example, shared and of a candidate, and in all of the latter.
        self.largest_shared = self.largest = self.numbers = 1.0
        self._positions: dict[fx.Node, float] = {}
        self._noting = True

    def is_tried(self) -> None:
        """All sizes are known now."""
        self._noting = False

    def find_kernels(self, parameters: dict[str, Tensor], precision: torch.dtype, examples: int) -> Kernels:
        """What the candidates' kernels (P, ...) have in common, looked for where that is cheap.

        They are compared before they are rounded to the network's `precision`. `examples`: how many will run.
        """
        bases: dict[fx.Node, KernelBasis] = {}
        factors: dict[fx.Node, ChannelFactors] = {}
        for node in self._plain_convolutions():
            weights = parameters[f"{node.target}.weight"]
            positions = int(examples * self._positions.get(node, 0))
            alike = node.all_input_nodes[0] not in self._varying and basis_may_pay(weights.shape, positions)
            basis = find_basis(weights) if alike else None
            # Factors on a CPU, where each candidate has a convolution of its own anyway.
            alone = basis is None and weights.device.type == "cpu"
            found = find_factors(weights) if alone and factors_may_pay(weights.shape, positions) else None
            if basis is not None:
                bases[node] = basis.to(precision)
            if found is not None:
                factors[node] = found.to(precision)
        stacks = {name: stack.to(precision) for name, stack in parameters.items()}
        return Kernels(stacks, bases, factors)

    def run_shared(self, inputs: Sequence[Any], kernels: Kernels, examples: int) -> Values:
        """The values that candidates take of all that does not depend on them."""
        values: Values = {}
        for node in self._shared:
            values[node] = self._run(node, values, kernels, inputs, slice(None))
            if self._noting:
                self._note_shared(values[node], examples)
            self._drop(node, values, self._taken)
        taken = {node: value for node, value in values.items() if node in self._taken}
        for node, basis in kernels.bases.items():
            conv = self._graph.modules[str(node.target)]
            assert isinstance(conv, nn.Conv2d)
            taken[node] = basis.responses(taken[node.all_input_nodes[0]], conv)
            self._note_shared(taken[node], examples)  # more than the image itself
        return taken

    def run(
        self,
        shared: Values,
        inputs: Sequence[Any],
        kernels: Kernels,
        candidates: slice,
        count: int,
        examples: int,
    ) -> Any:
        """The output for `count` of the candidates, its tensors (count, ...), from what `run_shared` gave."""
        values = dict(shared)
        total = 0.0
        for node in self._varying:
            values[node] = self._run(node, values, kernels, inputs, candidates)
            if self._noting:
                total += self._note(node, values[node], examples)
            self._drop(node, values, ())
        self.numbers = max(self.numbers, total)

        def for_each(item: Any) -> Any:
            value = values[item] if isinstance(item, fx.Node) else item
            return mapped(value, spread)

        def spread(value: Any) -> Any:
            if isinstance(value, Varying):
                return value.stacked
            return value.expand(count, *value.shape) if isinstance(value, Tensor) else value

        return mapped(self._result, for_each)

    def run_alone(self, shared: Values, inputs: Sequence[Any], kernels: Kernels, p: int) -> Any:
        """The output for candidate p by itself, its tensors (1, ...), by the network's own modules."""
        values = dict(shared)
        own = [(self._parameters[n], in_usual_order(stack[p])) for n, stack in kernels.parameters.items()]
        with with_numbers(own):
            for node in self._varying:
                if node in self._single and node not in kernels.factors:  # most are
                    function, source = self._single[node]
                    values[node] = function(values[source])
                else:
                    values[node] = self._run_alone(node, values, kernels, inputs, p)
                for done in self._last.get(node, ()):
                    values.pop(done, None)

        def for_one(item: Any) -> Any:
            value = values[item] if isinstance(item, fx.Node) else item
            return mapped(value, lambda part: part[None] if isinstance(part, Tensor) else part)

        return mapped(self._result, for_one)

    def _run_alone(
        self, node: fx.Node, values: Values, kernels: Kernels, inputs: Sequence[Any], p: int
    ) -> Any:
        """The value of a node for candidate p, whose numbers are in the network."""
        if node in self._places:
            return inputs[self._places[node]].stacked[p]
        if node.op == "get_attr":
            return self._graph.attribute(node).detach()
        function = self._functions[node]
        if node in kernels.factors:
            x = values[node.all_input_nodes[0]]
            return kernels.factors[node].convolve(x[None], slice(p, p + 1), function.bias, function)[0]
        args, kwargs = mapped((node.args, node.kwargs), lambda i: values[i] if isinstance(i, fx.Node) else i)
        return function(*args, **kwargs)

    def _run(
        self, node: fx.Node, values: Values, kernels: Kernels, inputs: Sequence[Any], candidates: slice
    ) -> Any:
        """The value of a node: a `Varying` where it depends on the candidate."""
        if node in self._places:
            given = inputs[self._places[node]]
            return Varying(given.stacked[candidates]) if isinstance(given, Varying) else given
        own = {own: kernels.parameters[name][candidates] for own, name in self._own_names[node].items()}
        if node.op == "get_attr":
            return Varying(own[""]) if own else self._graph.attribute(node)
        module = self._graph.modules.get(str(node.target)) if node.op == "call_module" else None
        if node in kernels.bases:
            bias = own.get("bias", getattr(module, "bias", None))
            return Varying(kernels.bases[node].combine(values[node], candidates, bias))
        if node in kernels.factors:
            assert isinstance(module, nn.Conv2d)
            x = values[node.all_input_nodes[0]]
            x = x.stacked if isinstance(x, Varying) else x.expand(len(own["weight"]), *x.shape)
            if x.dim() == 5:
                bias = own.get("bias", module.bias)
                return Varying(kernels.factors[node].convolve(x, candidates, bias, module))
        args, kwargs = mapped((node.args, node.kwargs), lambda i: values[i] if isinstance(i, fx.Node) else i)
        return call_for_all(self._functions[node], own, args, kwargs, self._looped)

    def _drop(self, node: fx.Node, values: Values, kept: Any) -> None:
        for done in self._last.get(node, ()):
            if done not in kept:
                values.pop(done, None)

    def _note_shared(self, value: Any, examples: int) -> None:
        for item in items(value):
            if isinstance(item, Tensor):
                self.largest_shared = max(self.largest_shared, item.numel() / examples)

    def _note(self, node: fx.Node, value: Any, examples: int) -> float:
        total = 0.0
        for item in items(value):
            if isinstance(item, Varying):
                numbers = item.stacked.numel() / (examples * len(item.stacked))
                self.largest, total = max(self.largest, numbers), total + numbers
                if item.stacked.dim() > 3 and self._is_convolution(node):
                    self._positions[node] = item.stacked[0, 0, 0].numel()
        return total

    def _names_of(self, node: fx.Node, names: frozenset[str]) -> dict[str, str]:
        """The varying parameters of a node itself: their names in the network, by those in its module."""
        target = str(node.target)
        if node.op == "get_attr":
            return {"": target} if target in names else {}
        if node.op != "call_module":
            return {}
        own = [name for name, _ in self._graph.modules[target].named_parameters(remove_duplicate=False)]
        return {name: f"{target}.{name}" for name in own if f"{target}.{name}" in names}

    def _plain_convolutions(self) -> Iterator[fx.Node]:
        """The convolutions, of images or candidates' images alone, whose whole kernels vary."""
        for node in self._varying:
            module = self._graph.modules.get(str(node.target)) if node.op == "call_module" else None
            plain = type(module) is nn.Conv2d and module.groups == 1 and module.padding_mode == "zeros"
            if plain and "weight" in self._own_names[node] and len(node.all_input_nodes) == 1:
                yield node

    def _is_convolution(self, node: fx.Node) -> bool:
        return node.op == "call_module" and type(self._graph.modules[str(node.target)]) in CONVOLUTIONS


def _last_uses(nodes: Sequence[fx.Node], results: set[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
    """For each node those whose values nothing after it reads."""
    last: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        for source in node.all_input_nodes:
            last[source] = node
    done: dict[fx.Node, list[fx.Node]] = {}
    for source, node in last.items():
        if source not in results:
            done.setdefault(node, []).append(source)
    return done

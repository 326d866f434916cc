"""A traced network run for many candidates: what is the same for all of them runs once."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from genophen.population.calls import CannotFoldError, Varying, call_for_all
from genophen.population.layers import ChannelFactors, KernelBasis, find_basis, find_factors


class _Tracer(fx.Tracer):
    """Traces computations on buffers instead of keeping what they gave at the time."""

    proxy_buffer_attributes = True


class CandidateGraph:
    """The operations of a plain network, in eval mode."""

    def __init__(self, network: nn.Module) -> None:
        """Trace `network`.

        Raises:
            CannotFoldError: where its code depends on the values that go through it.
        """
        self.network = network
        self.modules = dict(network.named_modules())
        buffers = dict(network.named_buffers(remove_duplicate=False))
        try:
            self._nodes = list(_Tracer().trace(network).nodes)
        except Exception as error:  # whatever the network's own code raises on a symbolic input
            raise CannotFoldError(str(error)) from None
        finally:
            for name, buffer in buffers.items():  # that code may have put a symbol in its place
                owner, _, attribute = name.rpartition(".")
                setattr(network.get_submodule(owner), attribute, buffer)
        if sum(node.op == "placeholder" for node in self._nodes) != 1:
            raise CannotFoldError("the network takes more than images")

    def result(self, before: str | None) -> fx.Node:
        """The node of the network's output or, with the name of a module, of what goes into that module."""
        if before is None:
            found = self._nodes[-1].args[0]
        else:
            calls = [node for node in self._nodes if node.op == "call_module" and node.target == before]
            found = calls[0].args[0] if len(calls) == 1 and calls[0].args else None
        if not isinstance(found, fx.Node):
            raise CannotFoldError("the output is no single tensor of the trace")
        return found

    def ancestors(self, result: fx.Node) -> list[fx.Node]:
        """The nodes that a node depends on, in order, itself last.

        Raises:
            CannotFoldError: where one before it changes a tensor in place and its result is not used.
        """
        needed = {result}
        for node in reversed(self._nodes):
            if node in needed:
                needed.update(node.all_input_nodes)
        before = self._nodes[: self._nodes.index(result)]
        if lost := [node for node in before if node not in needed and self._in_place(node)]:
            raise CannotFoldError(f"{lost[0]} changes a tensor in place, and its result is not used")
        return [node for node in self._nodes if node in needed]

    def _in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.modules[str(node.target)], "inplace", False))
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        named = name.endswith("_") and not name.endswith("__")  # torch's custom: add_, relu_
        return named or node.target is operator.setitem or bool(node.kwargs.get("inplace", False))


class Plan:
    """A graph with the parameters of P candidates: what varies, and how it is computed."""

    def __init__(
        self,
        graph: CandidateGraph,
        parameters: Mapping[str, Tensor],
        before: str | None,
        precision: torch.dtype,
    ) -> None:
        """`parameters`: those that vary, (P, ...) by name. `before`: see `CandidateGraph.result`.

        `precision` is the network's. What kernels have in common is looked for before they are rounded to it.
        """
        self._graph, self._precision = graph, precision
        self._parameters = {name: stack.to(precision) for name, stack in parameters.items()}
        self._result = graph.result(before)
        self._nodes = graph.ancestors(self._result)
        self._varying: set[fx.Node] = set()
        for node in self._nodes:
            if self._own(node) or any(source in self._varying for source in node.all_input_nodes):
                self._varying.add(node)
        kernels = {node: parameters[f"{node.target}.weight"] for node in self._varying_convolutions()}
        self._bases = self._find_bases(kernels)
        self._factors = self._find_factors(kernels)
        #: Numbers in the largest tensor needed so far: of an image for all, of an image for one candidate.
        self.largest_shared = self.largest = 1.0

    def run_shared(self, images: Tensor) -> dict[fx.Node, Any]:
        """The values of all that does not depend on the candidate, for images (N, C, H, W)."""
        values: dict[fx.Node, Any] = {}
        for node in self._nodes:
            if node.op == "placeholder":
                values[node] = images
            elif node in self._bases:
                source, conv = node.all_input_nodes[0], self._graph.modules[str(node.target)]
                assert isinstance(conv, nn.Conv2d)
                values[node] = self._bases[node].responses(values[source], conv)
            elif node not in self._varying:
                values[node] = self._run(node, values, slice(None))
            else:
                continue
            if isinstance(values[node], Tensor):
                self.largest_shared = max(self.largest_shared, values[node].numel() / len(images))
        return values

    def run(self, shared: Mapping[fx.Node, Any], candidates: slice, num_images: int) -> Tensor:
        """The output for some of the candidates, (P', N, ...), from the values of `run_shared`."""
        values = dict(shared)
        for node in self._nodes:
            if node in self._varying:
                values[node] = self._run(node, values, candidates)
                if isinstance(values[node], Varying):
                    stacked = values[node].stacked
                    self.largest = max(self.largest, stacked.numel() / (num_images * len(stacked)))
        result = values[self._result]
        if isinstance(result, Varying):
            return result.stacked
        if not isinstance(result, Tensor):
            raise CannotFoldError("the output is no tensor")
        count = len(next(iter(self._parameters.values()))[candidates])
        return result.expand(count, *result.shape)

    def _run(self, node: fx.Node, values: Mapping[fx.Node, Any], candidates: slice) -> Any:
        """The value of a node: a `Varying` where it depends on the candidate."""
        own = {name: stack[candidates] for name, stack in self._own(node).items()}
        if node.op == "get_attr":
            return Varying(own[""]) if own else _attribute(self._graph.network, str(node.target))
        module = self._graph.modules.get(str(node.target)) if node.op == "call_module" else None
        if node in self._bases:
            bias = own.get("bias", getattr(module, "bias", None))
            return Varying(self._bases[node].combine(values[node], candidates, bias))
        if node in self._factors:
            assert isinstance(module, nn.Conv2d)
            x = values[node.all_input_nodes[0]]
            x = x.stacked if isinstance(x, Varying) else x.expand(len(own["weight"]), *x.shape)
            if x.dim() == 5:
                bias = own.get("bias", module.bias)
                return Varying(self._factors[node].convolve(x, candidates, bias, module))
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: values[source])
        if node.op == "call_method":
            function: Any = getattr(Tensor, str(node.target), None)
            if function is None:
                raise CannotFoldError(f"no tensor has a method {node.target}")
        else:
            function = node.target if module is None else module
        if node in self._varying:
            return call_for_all(function, own, args, kwargs)
        return function(*args, **kwargs)

    def _own(self, node: fx.Node) -> dict[str, Tensor]:
        """The varying parameters of a node itself, by their names in its module."""
        target = str(node.target)
        if node.op == "get_attr":
            return {"": self._parameters[target]} if target in self._parameters else {}
        if node.op != "call_module":
            return {}
        names = [name for name, _ in self._graph.modules[target].named_parameters()]
        return {n: self._parameters[f"{target}.{n}"] for n in names if f"{target}.{n}" in self._parameters}

    def _find_bases(self, kernels: Mapping[fx.Node, Tensor]) -> dict[fx.Node, KernelBasis]:
        """Bases for the varying convolutions whose input is the same for all candidates."""
        bases = {}
        for node, weights in kernels.items():
            if self._varying.isdisjoint(node.all_input_nodes):
                basis = find_basis(weights)
                if basis is not None:
                    bases[node] = basis.to(self._precision)
        return bases

    def _find_factors(self, kernels: Mapping[fx.Node, Tensor]) -> dict[fx.Node, ChannelFactors]:
        """Factors for the other varying convolutions, on a CPU, where each candidate has its own anyway."""
        factors = {}
        for node, weights in kernels.items():
            if node not in self._bases and weights.device.type == "cpu":
                found = find_factors(weights)
                if found is not None:
                    factors[node] = found.to(self._precision)
        return factors

    def _varying_convolutions(self) -> Iterator[fx.Node]:
        """The plain convolutions, of images or candidates' images alone, whose weights vary."""
        for node in self._nodes:
            module = self._graph.modules.get(str(node.target)) if node.op == "call_module" else None
            plain = type(module) is nn.Conv2d and module.groups == 1 and module.padding_mode == "zeros"
            if plain and "weight" in self._own(node) and len(node.all_input_nodes) == 1:
                yield node


def _attribute(network: nn.Module, name: str) -> Any:
    """A parameter, buffer or constant by its dotted name."""
    value: Any = network
    for part in name.split("."):
        value = getattr(value, part)
    return value

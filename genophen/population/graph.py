"""The operations of a network, traced."""

from __future__ import annotations

import operator
from typing import Any

from torch import Tensor, fx, nn

from genophen.population.nested import CannotFoldError, Varying, items, mapped


class _Tracer(fx.Tracer):
    """Traces a call with given arguments: its tensors become inputs, all else stays what it is.

    Computations on buffers are traced, too, instead of what they gave at the time.
    """

    proxy_buffer_attributes = True

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self._given = (args, kwargs)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        count = 0

        def symbol(item: Any) -> Any:
            nonlocal count
            if not isinstance(item, Tensor | Varying):
                return item
            count += 1
            return self.create_proxy("placeholder", f"input_{count}", (), {})

        args, kwargs = mapped(self._given, symbol)
        return (lambda root: root.forward(*args, **kwargs)), [self.root]


class CandidateGraph:
    """The operations of a plain network, in eval mode, called with arguments of one structure."""

    def __init__(self, network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Trace `network`; of the arguments' tensors only their places matter.

        Raises:
            CannotFoldError: where its code depends on the values that go through it.
        """
        self.network = network
        self.modules = dict(network.named_modules())
        buffers = dict(network.named_buffers(remove_duplicate=False))
        try:
            self._nodes = list(_Tracer(args, kwargs).trace(network).nodes)
        except Exception as error:  # whatever the network's own code raises on a symbolic input
            reason = str(error).partition("\n")[0]
            raise CannotFoldError(f"its code asks for values while it runs: {reason}") from None
        finally:
            for name, buffer in buffers.items():  # that code may have put a symbol in its place
                owner, _, attribute = name.rpartition(".")
                setattr(network.get_submodule(owner), attribute, buffer)
        self.inputs = [node for node in self._nodes if node.op == "placeholder"]

    def result(self, before: str | None) -> Any:
        """The nodes of the network's output, as it holds them.

        With the name of a module, the node of what goes into that module.
        """
        if before is None:
            return self._nodes[-1].args[0]
        calls = [node for node in self._nodes if node.op == "call_module" and node.target == before]
        given = [*calls[0].args, *calls[0].kwargs.values()] if len(calls) == 1 else []
        if not given or not isinstance(given[0], fx.Node):
            raise CannotFoldError(f"{before} is not called once")
        return given[0]

    def function(self, node: fx.Node) -> Any:
        """What a node calls: a module, a function, or a tensor's method.

        Raises:
            CannotFoldError: where no tensor has that method.
        """
        target = str(node.target)
        if node.op == "call_module":
            return self.modules[target]
        found = getattr(Tensor, target, None) if node.op == "call_method" else node.target
        if found is None:
            raise CannotFoldError(f"no tensor has a method {target}")
        return found

    def attribute(self, node: fx.Node) -> Any:
        """The parameter, buffer or constant that a node reads."""
        value: Any = self.network
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value

    def ancestors(self, result: Any) -> list[fx.Node]:
        """The nodes that a result depends on, in order, its own among them.

        Raises:
            CannotFoldError: where one before it changes a tensor in place and its result is not used.
        """
        needed = {item for item in items(result) if isinstance(item, fx.Node)}
        own = set(needed)
        for node in reversed(self._nodes):
            if node in needed:
                needed.update(node.all_input_nodes)
        last = max((self._nodes.index(node) for node in own), default=0)
        before = self._nodes[:last]
        if lost := [node for node in before if node not in needed and self._in_place(node)]:
            raise CannotFoldError(f"{lost[0]} changes a tensor in place, and its result is not used")
        return [node for node in self._nodes if node in needed]

    def _in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.modules[str(node.target)], "inplace", False))
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        named = name.endswith("_") and not name.endswith("__")  # torch's custom: add_, relu_
        return named or node.target is operator.setitem or bool(node.kwargs.get("inplace", False))

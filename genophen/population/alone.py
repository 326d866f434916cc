"""A network run with one candidate's numbers after the other's: what everything else must equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from genophen.population.nested import in_usual_order, items, mapped, of_candidate, stacked


@contextmanager
def with_numbers(numbers: Sequence[tuple[nn.Parameter, Tensor]]) -> Iterator[None]:
    """Parameters with other numbers in them.

    The parameters stay the objects that they are: recurrent modules keep a list of theirs, which
    `torch.func.functional_call` leaves as it was, and tied ones have several names.
    """
    before = [parameter.data for parameter, _ in numbers]
    try:
        for parameter, weight in numbers:
            parameter.data = weight
        yield
    finally:
        for (parameter, _), own in zip(numbers, before, strict=True):
            parameter.data = own


@contextmanager
def with_copied_buffers(module: nn.Module) -> Iterator[None]:
    """The module with copies of its buffers, which it may write."""
    owners = [(owner, dict(owner._buffers)) for owner in module.modules() if owner._buffers]
    try:
        for owner, own in owners:
            owner._buffers.update({name: None if b is None else b.clone() for name, b in own.items()})
        yield
    finally:
        for owner, own in owners:
            owner._buffers.update(own)


def one_by_one(
    network: nn.Module, parameters: Mapping[str, Tensor], inputs: Any, count: int, before: str | None
) -> Any:
    """The outputs of each candidate by itself, their tensors stacked, (P, ...).

    `parameters`: those that vary, (P, ...) by name. `inputs`: (args, kwargs), with `Varying`s where they are
    each candidate's own. `before`: the name of a module whose input is the output, None: the network's own.
    """
    outputs = []
    for p in range(count):
        args, kwargs = of_candidate(inputs, p)
        own = [(network.get_parameter(n), in_usual_order(stack[p])) for n, stack in parameters.items()]
        with with_numbers(own), with_copied_buffers(network):
            outputs.append(called(network, args, kwargs, before))
    return mapped(stacked(outputs), lambda item: getattr(item, "stacked", item))


def called(network: nn.Module, args: Any, kwargs: Any, before: str | None) -> Any:
    """The network's output or, with the name of a module, what went into that module at last."""
    if before is None:
        return network(*args, **kwargs)
    seen: list[Any] = []
    hook = network.get_submodule(before).register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(next(iter((*args, *kwargs.values())))), with_kwargs=True
    )
    try:
        network(*args, **kwargs)
    finally:
        hook.remove()
    return seen[-1]


class Measured(TorchDispatchMode):
    """Counts the operations inside the block, and the numbers in their results: in all, and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.numbers, self.largest = 0, 0, 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [item.numel() for item in items(result) if isinstance(item, Tensor)]
        self.operations += 1
        self.numbers += sum(sizes)
        self.largest = max([self.largest, *sizes])
        return result


def largest_difference(found: Any, expected: Any) -> float:
    """The largest difference between two outputs' tensors, each as a share of its largest number."""
    pairs = list(zip(items(found), items(expected), strict=True))
    if any(isinstance(a, Tensor) != isinstance(b, Tensor) for a, b in pairs):
        return float("inf")
    shares = [_share(a, b) for a, b in pairs if isinstance(a, Tensor)]
    return max(shares, default=0.0)


def _share(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if not expected.is_floating_point():
        return 0.0 if torch.equal(found, expected) else float("inf")
    if not expected.numel():
        return 0.0
    difference = (found.float() - expected.float()).abs().max()
    return float(difference / expected.float().abs().max().clamp_min(1e-6))

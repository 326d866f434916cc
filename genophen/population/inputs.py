"""What a network of many candidates is called with: inputs that all share, and inputs of each one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genophen.population.nested import Varying, items, mapped


@dataclass(frozen=True)
class Inputs:
    """The arguments of one call; a tensor of each candidate's own, (P, N, ...), is a `Varying`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def value(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self.args, self.kwargs

    @property
    def tensors(self) -> list[Any]:
        """The tensors, in order, those of each candidate's own as `Varying`s."""
        return [item for item in items(self.value) if isinstance(item, Tensor | Varying)]

    @property
    def examples(self) -> int:
        """How many examples N the first tensor holds."""
        return next((_batch(item) for item in self.tensors), 1)

    @property
    def contiguous(self) -> bool:
        """Whether all tensors have the usual order in memory."""
        return all(_of_one(item).is_contiguous() for item in self.tensors)

    @property
    def alike(self) -> bool:
        """Whether all tensors hold as many examples, so that a batch may be cut."""
        sizes = {_batch(item) if _of_one(item).dim() else None for item in self.tensors}
        return len(sizes) == 1 and None not in sizes

    @property
    def structure(self) -> str:
        """All but the sizes and the numbers of the tensors."""

        def described(item: Any) -> Any:
            if isinstance(item, Tensor | Varying):
                return f"{'own' if isinstance(item, Varying) else 'shared'} {_of_one(item).dim()}"
            return repr(item)

        return repr(mapped(self.value, described))

    def to(self, precision: torch.dtype) -> Inputs:
        """The same with numbers of that precision, where they are of a floating type."""
        return self._changed(lambda tensor: tensor.to(precision) if tensor.is_floating_point() else tensor)

    def cut(self, block: slice) -> Inputs:
        """Some of the examples."""
        if block == slice(None):
            return self
        args, kwargs = mapped(self.value, lambda item: _cut(item, block))
        return Inputs(args, kwargs)

    def some(self, candidates: slice) -> Inputs:
        """Some of the candidates' inputs."""

        def taken(item: Any) -> Any:
            return Varying(item.stacked[candidates]) if isinstance(item, Varying) else item

        args, kwargs = mapped(self.value, taken)
        return Inputs(args, kwargs)

    def made_up(self, examples: int | None, draws: torch.Generator) -> Inputs:
        """Inputs of two candidates to try something on: numbers are drawn, indices and masks are as given.

        `examples`: how many; None: as many as there are.
        """

        def made(item: Any) -> Any:
            if isinstance(item, Varying):
                stack = item.stacked[torch.arange(2) % len(item.stacked)]
                return Varying(_drawn(stack, 1, examples, draws))
            return _drawn(item, 0, examples, draws) if isinstance(item, Tensor) else item

        args, kwargs = mapped(self.value, made)
        return Inputs(args, kwargs)

    def _changed(self, change: Any) -> Inputs:
        def changed(item: Any) -> Any:
            if isinstance(item, Varying):
                return Varying(change(item.stacked))
            return change(item) if isinstance(item, Tensor) else item

        args, kwargs = mapped(self.value, changed)
        return Inputs(args, kwargs)


def _of_one(item: Any) -> Tensor:
    tensor: Tensor = item.stacked[0] if isinstance(item, Varying) else item
    return tensor


def _batch(item: Any) -> int:
    tensor = _of_one(item)
    return len(tensor) if tensor.dim() else 1


def _cut(item: Any, block: slice) -> Any:
    if isinstance(item, Varying):
        return Varying(item.stacked[:, block])
    return item[block] if isinstance(item, Tensor) else item


def _drawn(tensor: Tensor, axis: int, examples: int | None, draws: torch.Generator) -> Tensor:
    if examples is not None:
        tensor = tensor.index_select(axis, torch.arange(examples, device=tensor.device) % tensor.shape[axis])
    if not tensor.is_floating_point():
        return tensor
    return torch.randn(tensor.shape, generator=draws).to(tensor)

"""Tensors that differ from candidate to candidate, and what holds them: tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class CannotFoldError(Exception):
    """The network cannot be run for many candidates at once: it runs for one after the other instead."""


@dataclass(frozen=True)
class Varying:
    """A tensor that differs from candidate to candidate, (P, ...)."""

    stacked: Tensor


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same tuples, lists, dicts and slices with what is in them changed."""
    if not isinstance(value, tuple | list | dict | slice) or isinstance(value, torch.Size):
        return change(value)
    if isinstance(value, tuple):
        items = [mapped(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    return slice(*(mapped(item, change) for item in (value.start, value.stop, value.step)))


def items(value: Any) -> list[Any]:
    """What is in them, in order."""
    found: list[Any] = []
    mapped(value, found.append)
    return found


def varying_in(value: Any) -> list[Varying]:
    return [item for item in items(value) if isinstance(item, Varying)]


def of_candidate(value: Any, p: int) -> Any:
    """The same for candidate p alone."""
    return mapped(value, lambda item: in_usual_order(item.stacked[p]) if isinstance(item, Varying) else item)


def in_usual_order(tensor: Tensor) -> Tensor:
    """The tensor in an order in memory that any network's code may meet (`x.view(n, -1)`)."""
    usual = tensor.is_contiguous() or (
        tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    )
    return tensor if usual else tensor.contiguous()


def joined(parts: list[Any], dim: int) -> Any:
    """Values of one structure as one, their tensors put together along an axis; the rest equal in all."""
    if len(parts) == 1:
        return parts[0]
    others = iter(zip(*map(items, parts), strict=True))

    def join(_: Any) -> Any:
        each = next(others)
        return torch.cat(each, dim) if isinstance(each[0], Tensor) else each[0]

    return mapped(parts[0], join)


def stacked(values: list[Any]) -> Any:
    """The candidates' values as one, every tensor a `Varying`.

    Raises:
        CannotFoldError: where they differ in anything but the numbers of their tensors.
    """
    if len(values) == 1:
        return mapped(values[0], lambda item: Varying(item[None]) if isinstance(item, Tensor) else item)
    others = iter(zip(*map(items, values), strict=True))

    def stack(_: Any) -> Any:
        each = next(others)
        if all(isinstance(item, Tensor) for item in each):
            return Varying(in_one_stack(list(each)))
        if any(isinstance(item, Tensor) or item != each[0] for item in each):
            raise CannotFoldError("an operation gives not the same kind of value for all candidates")
        return each[0]

    return mapped(values[0], stack)


def in_one_stack(tensors: list[Tensor]) -> Tensor:
    """Tensors as one, (P, ...), each as it lies in memory."""
    if len(tensors) == 1:
        return tensors[0][None]
    first = tensors[0]
    usual = first.is_contiguous() or first.dim() != 4
    if not usual and first.is_contiguous(memory_format=torch.channels_last):
        return torch.stack([t.permute(0, 2, 3, 1) for t in tensors]).permute(0, 1, 4, 2, 3)
    return torch.stack(tensors)

"""A network run over the candidates' axis by `torch.vmap`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from genophen.population.alone import called
from genophen.population.nested import Varying, items, mapped


def vectorized(
    network: nn.Module, parameters: Mapping[str, Tensor], inputs: Any, count: int, before: str | None
) -> Any:
    """The outputs, (P, ...), over the candidates' axis by `torch.vmap`."""
    own = [item.stacked for item in items(inputs) if isinstance(item, Varying)]
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}  # which it may write

    def of_one(weights: dict[str, Tensor], own: list[Tensor]) -> Any:
        values = iter(own)
        args, kwargs = mapped(inputs, lambda item: next(values) if isinstance(item, Varying) else item)
        caller = _Called(network, before)
        state = {f"network.{name}": value for name, value in {**buffers, **weights}.items()}
        return functional_call(caller, state, (args, kwargs), tie_weights=False)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of operations that it would loop over itself
        found = torch.vmap(of_one)(dict(parameters), own)
    return found


class _Called(nn.Module):
    """`called` as a module's forward, so that it can be called with other parameters."""

    def __init__(self, network: nn.Module, before: str | None) -> None:
        super().__init__()
        self.network, self._before = network, before

    def forward(self, args: Any, kwargs: Any) -> Any:
        return called(self.network, args, kwargs, self._before)

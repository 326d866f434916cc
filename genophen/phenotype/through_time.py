"""The loop over time: the one place where a recurrent network runs step after step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: From an input (N, ...) and a state, None at the start, to an output and the next state.
Step = Callable[[Any, Any], tuple[Tensor, Any]]


def scan(step: Step, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """Run a step over the sequences x (N, T, ...): outputs (N, T, ...) and the last state.

    A module whose weights a dynamic genotype writes may have a faster way to the same (see
    `DynamicGenotype.run_sequence`), which is then taken.
    """
    for hook in getattr(step, "_forward_pre_hooks", {}).values():
        if (all_steps := getattr(hook, "all_steps", None)) and (done := all_steps(step, x, state)):
            found: tuple[Tensor, Any] = done
            return found
    outputs = []
    for x_t in x.unbind(1):
        output, state = step(x_t, state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def each_tensor(function: Callable[[Tensor], Any], state: Any) -> Any:
    """A state with a function applied to every tensor in it: tuples, lists and dicts stay what they are."""
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, dict):
        return {key: each_tensor(function, value) for key, value in state.items()}
    if isinstance(state, tuple | list):
        return type(state)(each_tensor(function, value) for value in state)
    return state


def detached(state: Any) -> Any:
    """A state without its history: where backpropagation through time is cut off."""
    return each_tensor(Tensor.detach, state)

"""Worlds: what a controller acts in, written once for plain numbers, for arrays and for tensors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, ClassVar

import numpy as np
import torch

from genophen.contracts.playback import Line

#: A number of one world or, of many at once, a float64 array or tensor (P, E): candidates by episodes.
Value = Any
#: The numbers that describe a world, or what a controller sees of it, or does to it.
Values = tuple[Value, ...]


@dataclass(frozen=True)
class Arithmetic:
    """The functions that Python's own operators and `abs` do not cover, for one kind of value."""

    sin: Callable[[Value], Value]
    cos: Callable[[Value], Value]
    tanh: Callable[[Value], Value]
    exp: Callable[[Value], Value]
    sqrt: Callable[[Value], Value]
    #: -1, 0 or 1
    sign: Callable[[Value], Value]
    #: (value, low, high) -> the value, or the bound that it passed
    clip: Callable[[Value, float, float], Value]
    #: (condition, value where it holds, value where it does not)
    where: Callable[[Any, Value, Value], Value]


#: Of one world: Python's floats, which at up to some thirty worlds are faster than tensors.
NUMBERS = Arithmetic(
    sin=math.sin,
    cos=math.cos,
    tanh=math.tanh,
    exp=math.exp,
    sqrt=math.sqrt,
    sign=lambda value: math.copysign(1.0, value) if value else 0.0,
    clip=lambda value, low, high: low if value < low else min(value, high),
    where=lambda condition, yes, no: yes if condition else no,
)
#: Of many worlds on a CPU: numpy's operations on few numbers take a quarter of the time of torch's.
ARRAYS = Arithmetic(
    sin=np.sin,
    cos=np.cos,
    tanh=np.tanh,
    exp=np.exp,
    sqrt=np.sqrt,
    sign=np.sign,
    clip=np.clip,
    where=np.where,
)
#: Of many worlds on any device, with gradients where they are asked for.
TENSORS = Arithmetic(
    sin=torch.sin,
    cos=torch.cos,
    tanh=torch.tanh,
    exp=torch.exp,
    sqrt=torch.sqrt,
    sign=torch.sign,
    clip=torch.clamp,
    where=torch.where,
)


def product(weight: Value, x: Value) -> Value:
    """Weights (P, A, F) times vectors (P, E, F), as (P, E, A), in arrays or tensors.

    Of each pair the same to the bit whatever stands beside it, as a matrix product is not: its order of
    summation depends on the shapes.
    """
    total = weight[:, None, :, 0] * x[..., 0, None]
    for i in range(1, x.shape[-1]):
        total = total + weight[:, None, :, i] * x[..., i, None]
    return total


def added(values: Iterable[Value]) -> Value:
    """Their sum, one after the other; Python's `sum` has compensated for rounding since 3.12."""
    return reduce(add, values, 0.0)


class World(ABC):
    """What a controller acts in; it draws nothing, so that an episode follows from its start.

    The methods are written for one world, in plain arithmetic and the functions of `ops`, without `if` on a
    value: the same lines then run on numbers, and on arrays and tensors of many worlds. Values that are not
    finite end an episode, since no comparison with them holds.
    """

    #: Numbers that a controller sees, and that it gives.
    num_observations: ClassVar[int]
    num_actions: ClassVar[int]
    #: Over how many of the last steps of an episode `signal` is summed; 0: it is not asked for.
    window: ClassVar[int] = 0
    #: What a step takes, where an episode is looked at; the view's left, bottom, right and top; what is seen.
    seconds: ClassVar[float] = 0.02
    view: tuple[float, float, float, float] = (0.0, -1.1, 1.0, 1.1)
    words: str = "a bar for each number that is observed"

    @abstractmethod
    def observe(self, state: Values, ops: Arithmetic) -> Values:
        """What the controller sees: `num_observations` values, about between -1 and 1."""

    @abstractmethod
    def advance(self, state: Values, action: Values, ops: Arithmetic) -> Values:
        """The state after one step; `action` is what the controller gave, without bounds."""

    @abstractmethod
    def alive(self, state: Values, ops: Arithmetic) -> Any:
        """Whether the episode goes on from here: a bool, or an array of them."""

    def reward(self, state: Values, action: Values, after: Values, ops: Arithmetic) -> Value:
        """What a step brings; the sum over an episode is its return."""
        return 1.0

    def signal(self, state: Values, ops: Arithmetic) -> Value:
        """What is summed over the last `window` steps."""
        raise NotImplementedError

    def picture(self, state: Sequence[float]) -> tuple[Line, ...]:
        """A state to be looked at; the same lines for all states. By default: what is observed, as bars."""
        seen = self.observe(tuple(state), NUMBERS)
        part = 1 / len(seen)
        return tuple(
            Line((i + 0.5) * part, 0.0, (i + 0.5) * part, min(1.0, max(-1.0, float(value))), part / 2, i + 1)
            for i, value in enumerate(seen)
        )

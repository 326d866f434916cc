"""Worlds: what a controller acts in, written once for plain numbers and for tensors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

#: A number of one world or, of many worlds at once, a float64 tensor (P, E): candidates by episodes.
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
#: Of many worlds at once.
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


class World(ABC):
    """What a controller acts in; it draws nothing, so that an episode follows from its start.

    The methods are written for one world, in plain arithmetic and the functions of `ops`, without `if` on a
    value: the same lines then run on numbers and on tensors of many worlds. Values that are not finite end an
    episode, since no comparison with them holds.
    """

    #: Numbers that a controller sees, and that it gives.
    num_observations: ClassVar[int]
    num_actions: ClassVar[int]
    #: Over how many of the last steps of an episode `signal` is summed; 0: it is not asked for.
    window: ClassVar[int] = 0

    @abstractmethod
    def observe(self, state: Values, ops: Arithmetic) -> Values:
        """What the controller sees: `num_observations` values, about between -1 and 1."""

    @abstractmethod
    def advance(self, state: Values, action: Values, ops: Arithmetic) -> Values:
        """The state after one step; `action` is what the controller gave, without bounds."""

    @abstractmethod
    def alive(self, state: Values, ops: Arithmetic) -> Any:
        """Whether the episode goes on from here: a bool, or a tensor of them."""

    def reward(self, state: Values, action: Values, after: Values, ops: Arithmetic) -> Value:
        """What a step brings; the sum over an episode is its return."""
        return 1.0

    def signal(self, state: Values, ops: Arithmetic) -> Value:
        """What is summed over the last `window` steps."""
        raise NotImplementedError

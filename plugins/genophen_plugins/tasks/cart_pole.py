"""Balancing one pole on a cart (Barto, Sutton & Anderson 1983), the small brother of double-pole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

import genophen

GRAVITY, CART_MASS, POLE_MASS = 9.8, 1.0, 0.1
HALF_LENGTH = 0.5  # m
FORCE = 10.0  # N
SECONDS = 0.02
MAX_POSITION, MAX_ANGLE = 2.4, math.radians(12)
#: What positions and velocities are divided by where they are observed.
SCALES = (MAX_POSITION, 1.5, MAX_ANGLE, 2.0)
_MASS, _LEVER = CART_MASS + POLE_MASS, POLE_MASS * HALF_LENGTH


class CartPoleOptions(genophen.EpisodeOptions):
    velocities: bool = Field(True, description="whether velocities are observed, beside position and angle")
    push: Literal["full", "graded"] = Field(
        "full", description="'full': 10 N to one side or the other; 'graded': any force between, through tanh"
    )
    horizon: int = Field(500, ge=1, le=10_000_000, description="steps, of 0.02 s, of an episode at most")


class CartPole(genophen.SimulatedTask):
    """Euler steps of 0.02 s, starts within 0.05 of rest: the physics of Gymnasium's CartPole-v1."""

    name = "cart-pole"
    description = "balance a pole on a cart that is pushed to the left or to the right"
    Options: ClassVar[type[genophen.Options]] = CartPoleOptions
    options: CartPoleOptions
    num_actions = 1
    seconds = SECONDS
    view = (-3.0, -0.35, 3.0, 1.25)
    words = "a cart with a pole"

    @property
    def num_observations(self) -> int:  # type: ignore[override]
        return 4 if self.options.velocities else 2

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.rand(count, 4, generator=generator, dtype=torch.float64) * 0.1 - 0.05

    def observe(self, state: genophen.Values, ops: genophen.Arithmetic) -> genophen.Values:
        scaled = tuple(value / scale for value, scale in zip(state, SCALES, strict=True))
        return scaled if self.options.velocities else scaled[::2]

    def advance(
        self, state: genophen.Values, action: genophen.Values, ops: genophen.Arithmetic
    ) -> genophen.Values:
        x, v, angle, turn = state
        if self.options.push == "full":
            force = ops.where(action[0] > 0, FORCE, -FORCE)
        else:
            force = FORCE * ops.tanh(action[0])
        sine, cosine = ops.sin(angle), ops.cos(angle)
        pushed = (force + _LEVER * turn * turn * sine) / _MASS
        down = GRAVITY * sine - cosine * pushed
        turned = down / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * cosine * cosine / _MASS))
        moved = pushed - _LEVER * turned * cosine / _MASS
        return x + SECONDS * v, v + SECONDS * moved, angle + SECONDS * turn, turn + SECONDS * turned

    def alive(self, state: genophen.Values, ops: genophen.Arithmetic) -> Any:
        return (abs(state[0]) <= MAX_POSITION) & (abs(state[2]) <= MAX_ANGLE)

    def picture(self, state: Sequence[float]) -> tuple[genophen.Line, ...]:
        x, _, angle, _ = state
        return (
            genophen.Line(-MAX_POSITION, -0.14, MAX_POSITION, -0.14, 0.02),
            genophen.Line(x - 0.25, 0.0, x + 0.25, 0.0, 0.16),
            genophen.Line(x, 0.08, x + math.sin(angle), 0.08 + math.cos(angle), 0.05, 1),
        )


@genophen.hookimpl
def register_tasks(register):  # type: ignore[no-untyped-def]
    register(CartPole)

"""Balancing two poles of different lengths on one cart: the benchmark of evolved controllers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

import genophen
from genophen_plugins.tasks.double_pole_physics import MAX_ANGLE, MAX_POSITION, integrate

FORCE = 10.0  # N
#: What positions and velocities are divided by where they are observed: of the cart, and of the poles.
SCALES = (MAX_POSITION, 1.5, MAX_ANGLE, 2.0, MAX_ANGLE, 2.0)
#: Where training's one episode begins: the long pole leans by four degrees.
START = (0.0, 0.0, math.radians(4), 0.0, 0.0, 0.0)
#: Gruau, Whitley & Pyeatt (1996): five places in each of four ranges, around zero.
FRACTIONS = (0.05, 0.25, 0.5, 0.75, 0.95)
RANGES = (2.16, 1.35, math.radians(3.6), math.radians(8.6))
#: A solution balances so long from `START`, and for 1,000 steps from so many of the 625 starts.
LONG_TRIAL, SHORT_TRIAL, ENOUGH = 100_000, 1000, 200


class DoublePoleOptions(genophen.Options):
    velocities: bool = Field(
        False, description="whether velocities are observed, beside positions and angles"
    )
    fitness: Literal["damping", "steps"] = Field(
        "damping",
        description="'damping': 0.1 f1 + 0.9 f2 (Gruau et al. 1996), f1 the share of the steps balanced, f2 "
        "higher the less the cart and the long pole moved in the last 100 steps; 'steps': f1 alone",
    )
    horizon: int = Field(1000, ge=100, le=LONG_TRIAL, description="steps, of 0.02 s, of a training episode")


class DoublePole(genophen.SimulatedTask):
    """Wieland's equations by Runge-Kutta steps of 0.01 s, an action every second one, in double precision.

    The score is how many of Gruau's 625 starts are balanced for 1,000 steps.
    """

    name = "double-pole"
    description = "balance two poles on one cart, with or without seeing how fast they move"
    Options: ClassVar[type[genophen.Options]] = DoublePoleOptions
    options: DoublePoleOptions  # type: ignore[assignment]
    measure = "starts balanced"
    view = (-3.0, -0.35, 3.0, 1.25)
    words = "a cart with a long and a short pole"
    #: Weights of a network, and from how many of the 625 starts it balances.
    _known: tuple[dict[str, bytes], int] = ({}, 0)
    num_actions = 1
    window = 100

    @property
    def num_observations(self) -> int:  # type: ignore[override]
        return 6 if self.options.velocities else 3

    def observe(self, state: genophen.Values, ops: genophen.Arithmetic) -> genophen.Values:
        scaled = tuple(value / scale for value, scale in zip(state, SCALES, strict=True))
        return scaled if self.options.velocities else scaled[::2]

    def advance(
        self, state: genophen.Values, action: genophen.Values, ops: genophen.Arithmetic
    ) -> genophen.Values:
        force = FORCE * ops.tanh(action[0])
        return integrate(integrate(state, force, ops), force, ops)

    def alive(self, state: genophen.Values, ops: genophen.Arithmetic) -> Any:
        upright = (abs(state[2]) < MAX_ANGLE) & (abs(state[4]) < MAX_ANGLE)
        return (abs(state[0]) < MAX_POSITION) & upright

    def signal(self, state: genophen.Values, ops: genophen.Arithmetic) -> Any:
        x, v, a, w = state[:4]
        return abs(x) + abs(v) + abs(a) + abs(w)

    def picture(self, state: Sequence[float]) -> tuple[genophen.Line, ...]:
        x, _, long, _, short, _ = state
        poles = [
            genophen.Line(x, 0.08, x + size * math.sin(lean), 0.08 + size * math.cos(lean), 0.05, colour)
            for size, lean, colour in ((1.0, long, 1), (0.1, short, 2))
        ]
        ground = genophen.Line(-MAX_POSITION, -0.14, MAX_POSITION, -0.14, 0.02)
        return ground, genophen.Line(x - 0.25, 0.0, x + 0.25, 0.0, 0.16), *poles

    def measured_starts(self, split: str) -> Tensor:
        """Training's start, and Gruau's."""
        return torch.cat([self.draw(), gruaus_starts()])

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        return self.draw()

    def draw(self) -> Tensor:
        return torch.tensor([START], dtype=torch.float64)

    def judge(self, episodes: genophen.Episodes) -> Tensor:
        survived = episodes.survived.double()
        share = survived / self.options.horizon
        if self.options.fitness == "steps":
            return share
        damping = torch.where(survived < self.window, 0.0, 0.75 / episodes.recent)
        return 0.1 * share + 0.9 * damping

    def evaluate(self, phenotype: genophen.Phenotype, split: str) -> genophen.Scores:
        return genophen.Scores(float(self.generalization(genophen.Networks.of(phenotype))))

    def generalization(self, network: genophen.Networks) -> int:
        """From how many of the 625 starts one network balances for 1,000 steps.

        The last answer is kept: the test of success, validation and test ask for the same network's.
        """
        numbers = {name: stack.cpu().numpy().tobytes() for name, stack in network.weights().items()}
        known, count = self._known
        if numbers != known:
            episodes = self.run(network, gruaus_starts(), SHORT_TRIAL)
            count = int((~episodes.failed).sum())
            self._known = (numbers, count)
        return count

    def solved(self, alone: Callable[[int], Any], fitness: Tensor) -> int | None:
        """The best candidate, the first of equals, where it balances long enough and generalises."""
        known = fitness.nan_to_num(-torch.inf)
        best = int((known == known.max()).nonzero()[0])
        network = alone(best)
        with network.samples.paused():
            survived = int(self.run(network, self.draw(), LONG_TRIAL).survived)
            if survived < self.options.horizon:
                return None  # the trial that it was ranked by said so already
            network.samples.count_tests(1)
            if survived < LONG_TRIAL:
                return None
            network.samples.count_tests(len(gruaus_starts()))
            return best if self.generalization(network) >= ENOUGH else None

    def sizes(self) -> dict[str, int]:
        return {"validation": 625, "test": 625}

    def digest(self) -> str:
        return f"double-pole: 625 starts, velocities = {self.options.velocities}"


def gruaus_starts() -> Tensor:
    """The 625 starts, float64 (625, 6)."""
    places = [
        [(2 * fraction - 1) * limit for fraction, limit in zip(fractions, RANGES, strict=True)]
        for fractions in product(FRACTIONS, repeat=len(RANGES))
    ]
    return torch.tensor([[*place, 0.0, 0.0] for place in places], dtype=torch.float64)


@genophen.hookimpl
def register_tasks(register):  # type: ignore[no-untyped-def]
    register(DoublePole)

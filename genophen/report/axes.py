"""Axes of a chart: where a value lies between its ends, and which ticks it has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from genophen.contracts.measure import Measure

#: Ticks closer than this, as a part of the axis, would run into each other.
_TICK_DISTANCE = 0.11
#: From this best fraction on, what counts is the error that is left, and the axis is spaced by it.
_SPACED_BY_ERROR_FROM = 0.9
#: Costs that differ by more than this factor are drawn on a logarithmic axis.
_LOG_FROM = 10.0

#: In order of importance, of which those are drawn that have room.
_FRACTION_TICKS = [0.9, 0.99, 0.999, 0.5, 0.0, 0.98, 0.95, 0.8, 0.995, 0.998, 0.97, 0.985, 0.2, 0.7]
_FRACTION_TICKS += [0.992, 0.994, 0.996, 0.9995, 0.9999, 0.96, 0.993, 0.991, 0.975, 0.3, 0.6]


@dataclass(frozen=True)
class Axis:
    """`low` and `high` are the values at its ends; `spacing` is made by what it maps them to."""

    label: str
    low: float
    high: float
    spacing: Callable[[float], float]
    #: Values to be named, the most important first.
    candidates: Sequence[float]
    shown: Callable[[float], str]

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one; values beyond lie at the ends."""
        low, high = self.spacing(self.low), self.spacing(self.high)
        return (self.spacing(min(max(value, self.low), self.high)) - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Place and name of each tick."""
        places: dict[float, str] = {}
        for value in self.candidates:
            if self.low <= value <= self.high:
                place = self.place(value)
                if all(abs(place - other) >= _TICK_DISTANCE for other in places):
                    places[place] = self.shown(value)
        return sorted(places.items())


def linear_axis(
    label: str, values: Iterable[float], shown: Callable[[float], str] | None = None, *, whole: bool = False
) -> Axis:
    """An axis for values of any sign; `whole`: of what comes in whole numbers alone."""
    low, high = _range(values)
    step = _nice_step((high - low) / 5)
    step = max(step, 1.0) if whole else step
    ticks = [step * index for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Axis(label, low, high, float, ticks, shown or compact)


def log_axis(label: str, values: Iterable[float], margin: float = 0.0) -> Axis:
    """A logarithmic axis for positive values, longer at both ends by `margin`, a part of it."""
    low, high = _range(value for value in values if value > 0)
    more = (high / low) ** margin
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**decade for digit in (1, 3, 2, 5) for decade in decades]
    ticks += linear_axis(label, [low, high]).candidates  # a short axis may have none of those
    return Axis(label, low / more, high * more, math.log10, ticks, compact)


def cost_axis(label: str, values: Sequence[float]) -> Axis:
    """A logarithmic axis where the costs are far apart, a linear one otherwise."""
    positive = [value for value in values if value > 0]
    if positive and max(positive) > _LOG_FROM * min(positive):
        return log_axis(label, positive, margin=0.1)
    return linear_axis(label, _widened(values))


def score_axis(label: str, values: Sequence[float], measure: Measure) -> Axis:
    """From the lowest to the highest score; high fractions are spaced by the error that is left."""
    if not measure.percent:
        return linear_axis(label, _widened(values))
    values = [min(value, 1.0) for value in values]
    if max(values) < _SPACED_BY_ERROR_FROM:
        return linear_axis(label, _widened(values), lambda value: f"{100 * value:.4g}%")
    errors = [1 - value for value in values if value < 1]
    smallest = min(errors, default=0.001)
    low, high = _range([1 - 1.15 * max(errors, default=0.01), 1 - smallest / 1.15])
    return Axis(label, max(0.0, low), high, _by_error, _FRACTION_TICKS, lambda value: f"{100 * value:.4g}%")


def compact(value: float) -> str:
    """A number in few characters: 1.5M, 20k, 0.25."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"


def _by_error(fraction: float) -> float:
    return -math.log10(1 - fraction)


def _range(values: Iterable[float]) -> tuple[float, float]:
    """Lowest and highest, a little apart where they are one."""
    known = list(values)
    low, high = min(known, default=0.0), max(known, default=1.0)
    return (low, high) if high > low else (low, low + (abs(low) * 0.1 or 1.0))


def _widened(values: Sequence[float]) -> list[float]:
    margin = (max(values) - min(values)) * 0.05
    return [min(values) - margin if min(values) < 0 else max(0.0, min(values) - margin), max(values) + margin]


def _nice_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, ... and their tenths that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))

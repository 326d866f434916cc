"""Times that are compared: in one process, in turn, so that the machine's moods meet all alike."""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

#: Seconds that a turn takes at least: shorter calls are repeated within it, for the clock's sake.
SHORTEST_TURN = 0.002
_processor_time = False


@dataclass(frozen=True)
class Comparison:
    """A contestant beside the reference of its table."""

    name: str
    #: Median of one call.
    seconds: float
    #: Median of the paired ratios to the reference's time, and its 95% interval.
    ratio: float
    low: float
    high: float
    pairs: int


def compare(
    contestants: Mapping[str, Callable[[], object]],
    reference: str,
    pairs: int,
    *,
    per_call: float = 1.0,
    rest: float = 0.0,
) -> list[Comparison]:
    """Each contestant's time, and its ratio to the reference's, over `pairs` turns in a new order each.

    The first three turns warm up and do not count. `per_call`: units of work in a call, which times are
    divided by. `rest`: seconds before each turn, for a contestant's own processes to end what they began.
    """
    repeats = {name: _repeats(call) for name, call in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    order, shuffle = list(contestants), random.Random(0)
    for turn in range(pairs + 3):
        shuffle.shuffle(order)
        for name in order:
            time.sleep(rest)
            taken = timed(contestants[name], repeats[name]) / per_call
            if turn >= 3:
                seconds[name].append(taken)
    return [against(name, values, seconds[reference]) for name, values in seconds.items()]


def against(name: str, seconds: list[float], reference: list[float]) -> Comparison:
    """The comparison of times with the reference's times of the same turns."""
    ratios = [own / other for own, other in zip(seconds, reference, strict=True)]
    low, high = median_interval(ratios)
    return Comparison(
        name, statistics.median(seconds), statistics.median(ratios), low, high, pairs=len(ratios)
    )


def median_interval(values: list[float]) -> tuple[float, float]:
    """The 95% interval of the median: order statistics, by the binomial distribution; no other assumption.

    Fewer than six values cannot give one: their range then.
    """
    from scipy.stats import binom

    ordered = sorted(values)
    below = int(binom.ppf(0.025, len(ordered), 0.5))  # values that may lie below the interval
    below = min(max(below - 1, 0), (len(ordered) - 1) // 2)
    return ordered[below], ordered[-1 - below]


def timed(call: Callable[[], object], repeats: int = 1) -> float:
    """Seconds a call, the mean of `repeats`; on a GPU by its own events."""
    if torch.cuda.is_available():
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        for _ in range(repeats):
            call()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1000 / repeats
    started = clock()
    for _ in range(repeats):
        call()
    return (clock() - started) / repeats


def clock() -> float:
    """Seconds, of the wall's clock or, where `use_processor_time` was called, of the process's own."""
    return time.process_time() if _processor_time else time.perf_counter()


def command_seconds(command: list[str], folder: Path) -> float:
    """Seconds that a command takes, run in `folder`, by the same clock."""
    before, started = _of_children(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return _of_children() - before if _processor_time else time.perf_counter() - started


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def use_processor_time() -> None:
    """Count this process's own processor time: for one thread, on a machine that others use at the same time.

    What other processes do for it, such as a DataLoader's workers, is left out.
    """
    global _processor_time  # noqa: PLW0603
    _processor_time = True


def _repeats(call: Callable[[], object]) -> int:
    call()
    return max(1, round(SHORTEST_TURN / max(timed(call), 1e-6)))

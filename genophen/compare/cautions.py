"""What makes a comparison unequal: said plainly, never corrected for."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genophen.compare.groups import Group

#: Budgets that differ by a smaller factor count as equal: the last step may overshoot.
_BUDGET_TOLERANCE = 1.05


@dataclass(frozen=True)
class _Aspect:
    """Something that should be equal on both sides."""

    name: str
    why: str
    #: The value of a group that has runs, to be compared and shown.
    value: Callable[[Group], Any]

    def same(self, first: Group, second: Group) -> bool:
        one, other = self.value(first), self.value(second)
        if isinstance(one, float):
            return max(one, other) <= _BUDGET_TOLERANCE * min(one, other)
        return bool(one == other)


def _evaluations(group: Group) -> float:
    return statistics.fmean(run.result.sample_evaluations for run in group.runs)


def _architecture(group: Group) -> str:
    own = {key: value for key, value in group.settings.items() if key.startswith("architecture.")}
    options = [f"{key.rpartition('.')[2]}={value}" for key, value in own.items() if key.count(".") > 1]
    return f"{own['architecture.name']} ({', '.join(options)})" if options else own["architecture.name"]


def _distinct(values: Sequence[object]) -> str:
    return ", ".join(sorted(set(map(str, values))))


_ASPECTS = [
    _Aspect("sample evaluations", "the budgets are not equal", _evaluations),
    _Aspect(
        "data",
        "scores on different data are not comparable",
        lambda group: _distinct(
            [f"{run.result.dataset} {run.environment.dataset.sha256[:12]}" for run in group.runs]
        ),
    ),
    _Aspect("main network", "more than the way of training it differs", _architecture),
    _Aspect(
        "machine",
        "their seconds are not comparable",
        lambda group: _distinct([run.environment.machine for run in group.runs]),
    ),
    _Aspect("seeds", "pairs use those in common alone", lambda group: _distinct(sorted(group.by_seed))),
]


def cautions(first: Group, second: Group) -> list[str]:
    """Names of what is not equal between two groups that have runs."""
    return [aspect.name for aspect in _ASPECTS if not aspect.same(first, second)]


def unequal(groups: Sequence[Group]) -> list[str]:
    """One warning for each aspect in which the groups are not equal, and for what is odd within a group."""
    finished = [group for group in groups if group.runs]
    warnings = []
    for aspect in _ASPECTS:
        if not all(aspect.same(*pair) for pair in itertools.combinations(finished, 2)):
            values = "; ".join(f"{group.name}: {_shown(aspect.value(group))}" for group in finished)
            warnings.append(f"not equal: {aspect.name} ({values}); {aspect.why}")
    for first, second in itertools.combinations(finished, 2):
        if first.settings == second.settings:
            warnings.append(f"{first.name} and {second.name} have the same settings")
    for group in groups:
        warnings += _within(group)
    return warnings


def _within(group: Group) -> list[str]:
    warnings = []
    if group.mixed:
        keys = ", ".join(group.mixed[:5])
        warnings.append(f"the runs of {group.name} differ in more than the seed ({keys})")
    if len({run.result.parameters for run in group.runs}) > 1:
        warnings.append(f"the runs of {group.name} have different numbers of parameters")
    if len({run.environment.dataset.sha256 for run in group.runs}) > 1:
        warnings.append(f"the runs of {group.name} were trained on different data")
    if group.left_out:
        seeds = "; ".join(f"seed {run.seed}: {run.reason}" for run in group.left_out)
        warnings.append(
            f"runs of {group.name} that count in no statistic: {seeds}; "
            "if they are not missing by chance, what is left flatters the group"
        )
    return warnings


def _shown(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else str(value)

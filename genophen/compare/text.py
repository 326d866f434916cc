"""A comparison as text for a terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from genophen.compare.analysis import Comparison, GroupSummary, PairSummary
from genophen.compare.statistics import BOOTSTRAP_DRAWS, CONFIDENCE, MIN_SEEDS, Interval
from genophen.compare.success import Success
from genophen.contracts.measure import Measure
from genophen.sweep.table import aligned

Table = list[list[str]]

_COST_HEAD = [
    "Group",
    "Sample evaluations",
    "Backward samples",
    "Seconds",
    "Kernel parameters",
    "Total",
    "Searched",
]
_SUCCESS_HEAD = ["Group", "n", "Solved", "Evaluations, mean", "Std", "Median", "Most", "With tests, mean"]
_PAIR_HEAD = ["Pair", "Seeds", "Difference", "95% over seeds", "p", "p (Holm)", "95% over test images"]


def _notes(measure: Measure) -> list[str]:
    scores = f"Scores ({measure.title})"
    return [
        f"{scores} in per cent, differences in points (first less second); costs are means over seeds."
        if measure.percent
        else f"{scores}: higher is better; differences are first less second; costs are means over seeds.",
        "Over seeds: Student's t, n - 1 degrees of freedom, for pairs on the differences seed by seed. "
        f"Under {MIN_SEEDS} seeds in common n is too small, and no claim is made.",
        f"Over test images: percentiles of {BOOTSTRAP_DRAWS:,} draws of the test images, the trained "
        "networks held fixed. This covers the draw of test images, not that of seeds.",
    ]


_ON_SUCCESS = (
    "Evaluations are episodes of candidates until a run solved its task; a run that never did counts with "
    "all that it had, which makes the mean a lower bound, and the median is Kaplan and Meier's. Tests are "
    "the trials that found out whether the task is solved."
)


def as_text(comparison: Comparison) -> str:
    """The comparison for a terminal."""
    return _document(comparison, aligned, str.upper)


def as_markdown(comparison: Comparison, figures: Sequence[str] = ()) -> str:
    """The comparison as a Markdown page, with figures by their file names."""
    page = _document(comparison, _piped, lambda title: f"## {title}")
    images = [f"![{name.partition('.')[0].replace('_', ' ')}]({name})" for name in figures]
    return "\n\n".join(["# Comparison", page, *images]) + "\n"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison with its conclusions in words; scores are unrounded."""
    pairs = [{**asdict(pair), "conclusion": conclusion(pair, comparison)} for pair in comparison.pairs]
    return {
        "format": 2,
        **comparison.measure.as_record(),
        "confidence": CONFIDENCE,
        "groups": [asdict(group) for group in comparison.groups],
        "pairs": pairs,
        "warnings": comparison.warnings,
        "notes": _notes(comparison.measure),
    }


def conclusion(pair: PairSummary, comparison: Comparison) -> str:
    """Who is ahead, by how much, and whether the interval over seeds excludes 0; or why no claim is made."""
    unequal = f" Not equal: {', '.join(pair.cautions)}." if pair.cautions else ""
    if pair.interval is None or pair.difference is None or pair.p is None or pair.p_holm is None:
        return f"{pair.first} and {pair.second}: {pair.no_claim}.{unequal}"
    low, high = pair.interval
    ahead, behind = pair.first, pair.second
    if pair.difference < 0:
        ahead, behind, low, high = pair.second, pair.first, -high, -low
    tests = sum(other.p is not None for other in comparison.pairs)
    p = f"p = {_p(pair.p)}"
    if tests > 1:
        p += f", {_p(pair.p_holm)} with Holm's correction for {tests} comparisons"
    interval = f"95% interval over {len(pair.seeds)} seeds {_interval((low, high), comparison.measure)}"
    lead = comparison.measure.difference(abs(pair.difference))
    if low <= 0:
        said = f"{ahead} and {behind}: no difference is shown: {ahead} leads by {lead}, but the {interval}"
        return f"{said} includes 0 ({p}).{unequal}"
    said = f"{ahead} is ahead of {behind} by {lead}: the {interval} excludes 0 ({p})"
    if pair.p_holm > 1 - CONFIDENCE:
        said += ", which is no claim once the number of comparisons is corrected for"
    return f"{said}.{unequal}"


def _document(comparison: Comparison, table: Callable[[Table], str], heading: Callable[[str], str]) -> str:
    measure = comparison.measure
    finished = [group for group in comparison.groups if group.n]
    left_out = [(group.name, run) for group in comparison.groups for run in group.left_out]
    parts = [
        heading(measure.title.capitalize()),
        table([_score_head(measure), *(_score_row(group, measure) for group in finished)]),
        heading("Cost"),
        table([_COST_HEAD, *(_cost_row(group) for group in finished)]),
    ]
    if successes := [(group, group.success) for group in finished if group.success is not None]:
        rows = [_success_row(group, success) for group, success in successes]
        parts += [heading("Evaluations to success"), table([_SUCCESS_HEAD, *rows])]
    parts.append(heading("Pairs"))
    if comparison.pairs:
        parts += [
            table([_PAIR_HEAD, *(_pair_row(pair, measure) for pair in comparison.pairs)]),
            "\n".join(f"- {conclusion(pair, comparison)}{_different(pair)}" for pair in comparison.pairs),
        ]
    else:
        parts.append("None: two groups with a finished run are needed.")
    if comparison.warnings:
        parts += [heading("Warnings"), "\n".join(f"- {text}" for text in comparison.warnings)]
    if left_out:
        lines = [
            f"- {name}, seed {run['seed']}: {run['reason']} ({run['directory']})" for name, run in left_out
        ]
        parts += [heading("Not counted"), "\n".join(lines)]
    notes = [*_notes(measure), *([_ON_SUCCESS] if successes else [])]
    parts += [heading("How to read this"), "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(parts)


def _score_head(measure: Measure) -> list[str]:
    return ["Group", "n", "Seeds", f"Test {measure.title}", "Std", "95% over seeds", "Validation"]


def _score_row(group: GroupSummary, measure: Measure) -> list[str]:
    return [
        group.name,
        str(group.n),
        ", ".join(map(str, group.seeds)),
        _bare(group.test_score_mean, measure),
        _bare(group.test_score_std, measure),
        _interval(group.test_score_interval, measure),
        _bare(group.validation_score_mean, measure),
    ]


def _cost_row(group: GroupSummary) -> list[str]:
    values = [
        group.sample_evaluations_mean,
        group.backward_samples_mean,
        group.wall_seconds_mean,
        group.kernel_parameters,
        group.total_parameters,
        group.searched_parameters,
    ]
    return [group.name, *("" if value is None else f"{value:,.0f}" for value in values)]


def _success_row(group: GroupSummary, success: Success) -> list[str]:
    values = [
        success.evaluations_mean,
        success.evaluations_std,
        success.evaluations_median,
        success.evaluations_max,
        success.with_tests_mean,
    ]
    numbers = ["" if value is None else f"{value:,.0f}" for value in values]
    return [group.name, str(success.runs), f"{success.solved} of {success.runs}", *numbers]


def _pair_row(pair: PairSummary, measure: Measure) -> list[str]:
    return [
        f"{pair.first} - {pair.second}",
        str(len(pair.seeds)),
        "" if pair.difference is None else measure.bare(pair.difference, "+"),
        _interval(pair.interval, measure) or ("n too small" if len(pair.seeds) < MIN_SEEDS else "no spread"),
        "" if pair.p is None else _p(pair.p),
        "" if pair.p_holm is None else _p(pair.p_holm),
        _interval(pair.bootstrap.interval, measure) if pair.bootstrap else "not computed",
    ]


def _different(pair: PairSummary, most: int = 6) -> str:
    keys = pair.different_settings
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return f" Settings that differ: {', '.join(keys[:most])}{more}." if keys else ""


def _bare(value: float | None, measure: Measure) -> str:
    return "" if value is None else measure.bare(value)


def _interval(interval: Interval | None, measure: Measure) -> str:
    return "" if interval is None else f"{measure.bare(interval[0])} to {measure.bare(interval[1])}"


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 0.0001 else "under 0.0001"


def _piped(rows: Table) -> str:
    """Rows of cells as a Markdown table, the first being its head."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]])

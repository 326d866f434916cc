"""What a sweep's table says of tasks that are solved in episodes: how many it took."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

#: Key in a line, and heading.
COLUMNS = {
    "model": "Model",
    "solved": "Solved",
    "genes": "Genes",
    "evaluations_mean": "Evaluations, mean",
    "evaluations_std": "Std",
    "evaluations_median": "Median",
    "evaluations_max": "Most",
    "evaluations_with_tests_mean": "With tests, mean",
    "generalisation_mean": "Test score, mean",
}


def of_trials(done: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Over the trials that are done; nothing where they count no episodes.

    A trial that did not solve its task counts with all the evaluations that it had.
    """
    if not done or not all(record.get("episodes") for record in done):
        return {}
    spent = [record["episodes"] for record in done]
    with_tests = [record["episodes"] + record["test_episodes"] for record in done]
    return {
        "genes": done[0]["parameters"]["searched"],
        "solved": sum(record["stop_reason"] == "solved" for record in done) / len(done),
        "evaluations_mean": statistics.fmean(spent),
        "evaluations_std": statistics.stdev(spent) if len(spent) > 1 else None,
        "evaluations_median": statistics.median(spent),
        "evaluations_max": max(spent),
        "evaluations_with_tests_mean": statistics.fmean(with_tests),
        "generalisation_mean": statistics.fmean(record["test_score"] for record in done),
    }


def as_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The lines that have them as a table in Markdown; empty where none has."""
    known = [line for line in lines if "solved" in line]
    if not known:
        return ""
    rows = [[_text(line, key) for key in COLUMNS] for line in known]
    return "\n".join(f"| {' | '.join(row)} |" for row in [[*COLUMNS.values()], ["---"] * len(COLUMNS), *rows])


def _text(line: Mapping[str, Any], key: str) -> str:
    value = line[key]
    if key == "solved":
        done = len(line["seeds"])
        return f"{round(value * done)} of {done}"
    if isinstance(value, int | float):
        return f"{value:,.0f}"
    return "" if value is None else str(value).replace("|", "\\|")

"""Records from before there were tasks, as they are written today: all of them are of classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genophen.contracts.measure import ACCURACY

_MEASURE = ACCURACY.as_record()
#: Keys that are called otherwise today. The old ones stay beside them: they are the measure's own.
_SCORES = {"test_accuracy": "test_score", "validation_accuracy": "validation_score"}
_MEANS = {
    "test_accuracy_mean": "test_score_mean",
    "test_accuracy_std": "test_score_std",
    "reported_test_accuracy": "reported_test_score",
}


def result_of_today(values: Any) -> Any:
    """A `result.json`, or a trial in a sweep's table."""
    return _with(values, _SCORES, {"task": "classification", **_MEASURE})


def row_of_today(values: Any) -> Any:
    """A row of `metrics.jsonl`."""
    return _with(values, _SCORES, {})


def line_of_today(values: Any) -> Any:
    """A line of a sweep's table."""
    line = _with(values, _MEANS, {"task": "classification", **_MEASURE})
    if isinstance(line, dict) and isinstance(line.get("trials"), list):
        line = {**line, "trials": [result_of_today(trial) for trial in line["trials"]]}
    return line


def environment_of_today(values: Any) -> Any:
    """An `environment.json`."""
    return _with(values, {}, {"task": {"name": "classification", **_MEASURE}})


def settings_of_today(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key: those of before there were tasks, with today's names."""
    renamed = {key.replace(".num_classes", ".num_outputs"): value for key, value in settings.items()}
    return {"task.name": "classification", **renamed}


def _with(values: Any, names: Mapping[str, str], defaults: Mapping[str, Any]) -> Any:
    """The object with what it lacks of today's; what is no object is left to the reader's complaints."""
    if not isinstance(values, dict):
        return values
    renamed = {new: values[old] for old, new in names.items() if old in values}
    return {**defaults, **renamed, **values}

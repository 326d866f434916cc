"""What a reporter has to do."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from genophen.contracts.measure import ACCURACY
from genophen.contracts.reporter import Reporter, RunInfo
from genophen.testing.findings import Findings, check_call, check_class

#: As in `metrics.jsonl`: round 0 measures the start, where nothing is trained yet.
_ROWS: list[dict[str, Any]] = [
    {
        "round": number,
        "train_loss": 2.0 / number if number else None,
        "validation_loss": 1.5,
        "validation_score": 0.25 * (number + 1),
        "validation_accuracy": 0.25 * (number + 1),
        "learning_rate": 0.004 if number else None,
        "sample_evaluations": 300 * number,
    }
    for number in range(3)
]
_RESULT: dict[str, Any] = {
    "status": "completed",
    "stop_reason": None,
    "signal": None,
    "architecture": "vgg-block1",
    "genotype": "hypernetwork",
    "optimizer": "adam",
    "dataset": "digits",
    "seed": 0,
    "rounds": 2,
    "best_round": 2,
    "task": "classification",
    **ACCURACY.as_record(),
    "validation_score": 0.75,
    "test_score": 0.5,
    "validation_accuracy": 0.75,
    "test_accuracy": 0.5,
    "parameters": {"total": 30, "kernel": 20, "embedding": 4, "generator": 16, "direct": 10, "searched": 30},
    "sample_evaluations": 600,
    "backward_samples": 200,
    "wall_seconds": 1.5,
}


def examine_reporter(findings: Findings, cls: type[Reporter]) -> None:
    """Tell a reporter of a short run, and of one that ends in an error."""
    with findings.needed("the class has all that a reporter needs"):
        check_class("reporter", cls)
    with findings.needed("it can be made without arguments"):
        reporter = cls()
    with TemporaryDirectory() as folder:
        info = RunInfo(
            directory=Path(folder),
            **{key: _RESULT[key] for key in ("architecture", "genotype", "optimizer", "dataset")},
            device="cpu",
            total_rounds=2,
            steps_per_round=2,
            parameters=_RESULT["parameters"],
            images={"train": 100, "validation": 20, "test": 20},
        )
        with findings.needed("start() takes what is known of the run"):
            check_call(reporter.start, "write def start(self, info)", info)
            reporter.start(info)
        with findings.needed("step() takes nothing"):
            check_call(reporter.step, "write def step(self)")
            reporter.step()
        with findings.check("round() takes a row of metrics, whose train_loss is None in round 0"):
            check_call(reporter.round, "write def round(self, row, seconds)", _ROWS[0], 0.1)
            for row in _ROWS:
                reporter.round(row, 0.1)
        with findings.check("end() takes the result"):
            check_call(reporter.end, "write def end(self, result)", _RESULT)
            reporter.end(_RESULT)
        with findings.check("end() takes a result of nothing but a status, as after an error"):
            failed = cls()
            failed.start(info)
            try:
                failed.end({"status": "failed"})
            except KeyError as error:
                advice = 'read it with result.get("...")'
                raise AssertionError(f"there is no result[{error}] after an error: {advice}") from None

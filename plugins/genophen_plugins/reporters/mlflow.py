"""Runs in MLflow, wherever MLFLOW_TRACKING_URI says; without it, in an SQLite file here."""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import genophen
from genophen_plugins.extras import needed
from genophen_plugins.reporters.own_path import own_path

#: In the run directory: the MLflow run that a resumed run goes on with.
RUN_ID_FILE = "mlflow_run_id"
_PARAMS_A_CALL = 100
_STATUS = {"completed": "FINISHED", "stopped-early": "FINISHED", "interrupted": "KILLED"}


class MLflowReporter(genophen.Reporter):
    """Logs the config as parameters and every number of each round as metrics; the step is the round."""

    name = "mlflow"
    description = "a run in MLflow, at MLFLOW_TRACKING_URI (needs the extra mlflow)"

    def __init__(self) -> None:
        # MLflow reports its use over the network unless it is told not to.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow = needed("mlflow", "mlflow", "cannot use the reporter mlflow")
        self._client: Any = None
        self._run_id = ""

    def start(self, info: genophen.RunInfo) -> None:
        self._info = info

    def step(self) -> None:
        pass

    def round(self, row: Mapping[str, Any], seconds: float) -> None:
        if self._client is None:  # not before there is a round: a run that fails at once leaves no trace
            self._begin()
        self._log({**row, "seconds": seconds}, row["round"])

    def end(self, result: Mapping[str, Any]) -> None:
        if self._client is None:
            return
        if result.get("test_score") is not None:
            own = f"test_{self._info.measure.key}"
            self._log({name: result[name] for name in ("test_score", own)}, result["best_round"])
        self._client.set_terminated(self._run_id, _STATUS.get(result["status"], "FAILED"))

    def _begin(self) -> None:
        """Go on with the MLflow run of this directory, or make one."""
        self._client = self._mlflow.MlflowClient()
        file = own_path(self._info.directory / RUN_ID_FILE)
        if file.exists():
            self._run_id = file.read_text(encoding="utf-8").strip()
            self._client.update_run(self._run_id, "RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "genophen")
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(name)
        tags = {"run_directory": str(self._info.directory.absolute())}
        run_name = self._info.directory.absolute().name
        self._run_id = self._client.create_run(experiment_id, tags=tags, run_name=run_name).info.run_id
        file.write_text(f"{self._run_id}\n", encoding="utf-8")
        params = [self._mlflow.entities.Param(*pair) for pair in _params(self._info)]
        for start in range(0, len(params), _PARAMS_A_CALL):
            self._client.log_batch(self._run_id, params=params[start : start + _PARAMS_A_CALL])

    def _log(self, numbers: Mapping[str, Any], step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [
            self._mlflow.entities.Metric(name, number, now, step)
            for name, number in numbers.items()
            if number is not None and name != "round"
        ]
        self._client.log_batch(self._run_id, metrics=metrics)


def _params(info: genophen.RunInfo) -> Iterator[tuple[str, str]]:
    """Every setting of the run by its dotted key, and the parameter counts."""
    for name, count in info.parameters.items():
        yield f"parameters.{name}", str(count)
    yield from _flat(tomllib.loads(own_path(info.directory / "config.toml").read_text(encoding="utf-8")), "")


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)

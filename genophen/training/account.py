"""What a run says of itself: to reporters, in `metrics.jsonl` and in `result.json`."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch

from genophen.contracts.optimizer import Optimizer
from genophen.contracts.reporter import RunInfo
from genophen.contracts.task import Scores
from genophen.storage.rundir import RunDirectory
from genophen.training.experiment import Experiment
from genophen.training.progress import Progress


class Account:
    """One run's account, from its objects as they are at the time."""

    def __init__(
        self, experiment: Experiment, optimizer: Optimizer, progress: Progress, run: RunDirectory
    ) -> None:
        self.experiment, self.optimizer, self.progress, self.run_directory = (
            experiment,
            optimizer,
            progress,
            run,
        )
        self.config, self.phenotype = experiment.config, experiment.phenotype
        self.measure = experiment.task.measured()

    def info(self) -> RunInfo:
        return RunInfo(
            directory=self.run_directory.path,
            architecture=self.config.architecture.name,
            genotype=self.config.genotype.name,
            optimizer=self.config.optimizer.name,
            dataset=self.config.source,
            task=self.config.task.name,
            measure=self.measure,
            train_loss=self.optimizer.train_loss,
            device=str(self.experiment.device),
            total_rounds=self.config.training.rounds,
            steps_per_round=self.optimizer.steps_per_round,
            parameters=self.parameters(),
            images=self.experiment.task.sizes(),
            inputs=self.experiment.task.inputs,
            rounds_done=max(0, self.progress.round),
            steps_done=len(self.progress.losses),
            best_score=self.progress.best_score,
        )

    def parameters(self) -> dict[str, int]:
        counts = asdict(self.phenotype.parameter_counts())
        searched = counts["total"] if self.optimizer.searched is None else self.optimizer.searched
        return {**counts, "searched": searched}

    def derived(self) -> dict[str, Any]:
        """Settings that were left open, by dotted key, with what the optimizer put in their place."""
        prefix = f"optimizer.{self.config.optimizer.name}"
        return {f"{prefix}.{key}": value for key, value in self.optimizer.derived.items()}

    def row(self, validation: Scores) -> dict[str, Any]:
        """A row of `metrics.jsonl`; numbers that are not finite become null."""
        progress = self.progress
        train_loss = learning_rate = None
        extras: dict[str, float | torch.Tensor] = {}
        if progress.last is not None:
            losses = [float(loss) for loss in progress.losses]
            train_loss = float(torch.tensor(losses, dtype=torch.float64).mean())
            learning_rate, extras = progress.last.learning_rate, dict(progress.last.extras)
        row = {
            "round": progress.round,
            "train_loss": _finite(train_loss),
            "validation_loss": _finite(validation.loss),
            "validation_score": _finite(validation.value),
            f"validation_{self.measure.key}": _finite(self.measure.own(validation.value)),
            "learning_rate": _finite(learning_rate),
            "sample_evaluations": self.phenotype.samples.sample_evaluations,
            **self.phenotype.samples.episode_counts(),
        }
        extras |= {f"validation_{name}": value for name, value in validation.extras.items()}
        return row | {name: _finite(value) for name, value in extras.items() if name not in row}

    def result(self, test_score: float | None) -> dict[str, Any]:
        """What `result.json` says; `test_score` where the run came to its end."""
        progress, measure = self.progress, self.measure
        config, samples = self.config, self.phenotype.samples
        return {
            "status": progress.status,
            "stop_reason": progress.stop_reason or None,
            "signal": progress.signal or None,
            "architecture": config.architecture.name,
            "genotype": config.genotype.name,
            "optimizer": config.optimizer.name,
            "dataset": config.source,
            "task": config.task.name,
            **measure.as_record(),
            "seed": config.training.seed,
            "rounds": max(0, progress.round),
            "best_round": progress.best_round if progress.best_round >= 0 else None,
            "validation_score": progress.best_score,
            "test_score": test_score,
            f"validation_{measure.key}": measure.own(progress.best_score),
            f"test_{measure.key}": measure.own(test_score),
            "train_loss_name": self.optimizer.train_loss,
            "parameters": self.parameters(),
            "derived": self.derived(),
            "sample_evaluations": samples.sample_evaluations,
            "backward_samples": samples.backward_samples,
            **samples.episode_counts(),
            "wall_seconds": round(progress.seconds, 3),
        }


def _finite(value: float | torch.Tensor | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None

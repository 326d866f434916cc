"""The training loop: steps and rounds, validation, stopping, and the files of the run."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genophen.config import Config
from genophen.environment import git_commit, machine, package_versions
from genophen.errors import PluginError
from genophen.experiment import Evaluation, Experiment, Notify, assemble
from genophen.optimizer import Context, Metrics, Optimizer
from genophen.plugins import Plugins
from genophen.reporter import Reporter, RunInfo
from genophen.rundir import RunDirectory, load_state
from genophen.seeds import derive_seed, seed_global_generators
from genophen.signals import StopSignal


@dataclass
class _Progress:
    """Where a run stands."""

    status: str = ""
    #: Why it ended, where that is not simply that all rounds are done.
    stop_reason: str = ""
    signal: int = 0
    round: int = 0
    best_round: int = -1
    best: Evaluation = field(default_factory=lambda: Evaluation(math.inf, -1.0))

    def stop(self, status: str, reason: str) -> None:
        self.status, self.stop_reason = status, reason


def train(experiment: Experiment, run: RunDirectory, reporters: Sequence[Reporter]) -> dict[str, Any]:
    """Train to the end, or to whatever stops it, and return the result as it stands in `result.json`.

    The test images are looked at once, with the weights of the best validation round.
    """
    config = experiment.config
    started = time.monotonic()
    loop = _Loop(experiment, run, reporters)
    info = loop.info()
    run.config.write_text(config.to_toml(), encoding="utf-8")
    run.write_json(run.environment, describe_environment(experiment))
    for reporter in reporters:
        reporter.start(info)
    result: dict[str, Any] = {"status": "failed"}
    try:
        with StopSignal() as stop_signal:
            progress = loop.run(stop_signal, started)
            result = loop.result(progress, time.monotonic() - started)
            run.write_json(run.result, result)
    finally:
        for reporter in reporters:
            reporter.end(result)
    return result


def run_config(
    config: Config,
    plugins: Plugins,
    name: str,
    out: Path | None,
    reporters: Sequence[Reporter] = (),
    notify: Notify = lambda note: None,
) -> tuple[RunDirectory, dict[str, Any]]:
    """Make the run directory, assemble the experiment and train it; `name` is the config's, for the folder.

    A run that fails before its first step leaves no folder behind.
    """
    run = RunDirectory.create(out, name)
    try:
        return run, train(assemble(config, plugins, notify), run, reporters)
    except BaseException:
        if not run.metrics.exists():
            run.discard()
        raise


def describe_environment(experiment: Experiment) -> dict[str, Any]:
    """What `environment.json` records: versions, machine, commit, the plugins in use, the data's digest."""
    config, plugins = experiment.config, experiment.plugins
    in_use = []
    for kind in ("architecture", "genotype", "optimizer", "dataset"):
        plugin = plugins.get(kind, getattr(config, kind).name)
        source = asdict(plugin.source)
        in_use.append({"kind": kind, "name": plugin.name, "plugin": source.pop("name"), **source})
    return {
        "packages": package_versions(),
        "machine": machine(experiment.device),
        "git_commit": git_commit(),
        "plugins": in_use,
        "dataset": {"name": config.dataset.name, "sha256": experiment.data_sha256},
    }


class _Loop:
    def __init__(self, experiment: Experiment, run: RunDirectory, reporters: Sequence[Reporter]) -> None:
        self.experiment, self.run_directory, self.reporters = experiment, run, reporters
        self.config, self.phenotype = experiment.config, experiment.phenotype
        training = self.config.training
        seed_global_generators(training.seed)
        plugin = experiment.plugins.get("optimizer", self.config.optimizer.name)
        self.blame = partial(experiment.plugins.blame, "optimizer", plugin.name)
        generator = torch.Generator().manual_seed(derive_seed(training.seed, "optimizer"))
        batches = experiment.train_batches()
        context = Context(
            phenotype=self.phenotype,
            batches=batches,
            train_images=experiment.batches("train"),
            data=experiment.data,
            readout=experiment.architecture.readout,
            training=training,
            total_rounds=training.rounds,
            generator=generator,
        )
        with self.blame():
            self.optimizer: Optimizer = plugin.cls(self.config.optimizer.options)
            self.optimizer.setup(context)
        steps = getattr(self.optimizer, "steps_per_round", "not set")
        if not isinstance(steps, int) or steps < 1:
            raise PluginError(
                f"cannot use the optimizer {plugin.name}",
                found=f"steps_per_round is {steps}",
                allowed="a whole number from 1, set by setup()",
            )

    def info(self) -> RunInfo:
        splits = ("train", "validation", "test")
        return RunInfo(
            directory=self.run_directory.path,
            architecture=self.config.architecture.name,
            genotype=self.config.genotype.name,
            optimizer=self.config.optimizer.name,
            dataset=self.config.dataset.name,
            device=str(self.experiment.device),
            total_rounds=self.config.training.rounds,
            steps_per_round=self.optimizer.steps_per_round,
            parameters=self.parameters(),
            images={name: len(self.experiment.split(name)) for name in splits},
        )

    def parameters(self) -> dict[str, int]:
        counts = asdict(self.phenotype.parameter_counts())
        searched = counts["total"] if self.optimizer.searched is None else self.optimizer.searched
        return {**counts, "searched": searched}

    def run(self, stop_signal: StopSignal, started: float) -> _Progress:
        progress = _Progress()
        self._validate(progress, None, time.monotonic(), 0.0)
        while not progress.status:
            round_started = time.monotonic()
            progress.round += 1
            self.phenotype.train()
            metrics = self._train_round(progress, stop_signal, started)
            if progress.status == "interrupted":
                break
            train_seconds = time.monotonic() - round_started
            self._validate(progress, metrics, round_started, train_seconds)
        return progress

    def _train_round(self, progress: _Progress, stop_signal: StopSignal, started: float) -> list[Metrics]:
        """The steps of one round; a signal or a used-up budget ends it, and the run, early."""
        training, samples = self.config.training, self.phenotype.samples
        metrics = []
        for _ in range(self.optimizer.steps_per_round):
            with self.blame():
                metrics.append(self._checked(self.optimizer.step()))
            for reporter in self.reporters:
                reporter.step()
            if stop_signal.number:
                progress.signal = stop_signal.number
                progress.stop("interrupted", f"signal {stop_signal.number}")
                progress.round -= 1  # this one is not done
            elif 0 < training.max_sample_evaluations <= samples.sample_evaluations:
                progress.stop("completed", "max_sample_evaluations")
            elif 0 < training.max_seconds <= time.monotonic() - started:
                progress.stop("completed", "max_seconds")
            if progress.status:
                break
        return metrics

    @staticmethod
    def _checked(metrics: object) -> Metrics:
        if not isinstance(metrics, Metrics):
            raise TypeError(f"step() returned {type(metrics).__name__}, not genophen.Metrics")
        return metrics

    def _validate(
        self, progress: _Progress, metrics: list[Metrics] | None, round_started: float, train_seconds: float
    ) -> None:
        """End a round: measure, record, keep the best, and decide whether to go on."""
        training = self.config.training
        with self.blame():
            self.optimizer.finish_round()
        validation = self.experiment.evaluate("validation")
        row = self._row(progress.round, validation, metrics)
        self.run_directory.append(self.run_directory.metrics, row)
        if not self._is_finite(validation, row):
            progress.stop("diverged", f"numbers that are not finite in round {progress.round}")
        elif _better(validation, progress.best):
            progress.best, progress.best_round = validation, progress.round
            values = {"round": progress.round, "validation_accuracy": validation.accuracy}
            self.run_directory.save_best(self.phenotype.state_dict(), values)
        elif (
            training.patience
            and not self.optimizer.needs_all_rounds
            and progress.round - progress.best_round >= training.patience
        ):
            progress.stop("stopped-early", f"no better validation accuracy in {training.patience} rounds")
        if not progress.status and progress.round == training.rounds:
            progress.status = "completed"
        seconds = time.monotonic() - round_started
        timing = {
            "round": progress.round,
            "seconds": round(seconds, 3),
            "train_seconds": round(train_seconds, 3),
        }
        self.run_directory.append(self.run_directory.timings, timing)
        for reporter in self.reporters:
            reporter.round(row, seconds)

    def _row(
        self, round_number: int, validation: Evaluation, metrics: list[Metrics] | None
    ) -> dict[str, Any]:
        """A row of `metrics.jsonl`; numbers that are not finite become null."""
        train_loss = learning_rate = None
        extras: dict[str, float | torch.Tensor] = {}
        if metrics:
            losses = [torch.as_tensor(m.train_loss, dtype=torch.float64) for m in metrics]
            train_loss = float(torch.stack(losses).mean())
            learning_rate, extras = metrics[-1].learning_rate, dict(metrics[-1].extras)
        row = {
            "round": round_number,
            "train_loss": _finite(train_loss),
            "validation_loss": _finite(validation.loss),
            "validation_accuracy": validation.accuracy,
            "learning_rate": _finite(learning_rate),
            "sample_evaluations": self.phenotype.samples.sample_evaluations,
        }
        return row | {name: _finite(value) for name, value in extras.items() if name not in row}

    def _is_finite(self, validation: Evaluation, row: dict[str, Any]) -> bool:
        lost = row["round"] > 0 and row["train_loss"] is None
        weights = all(bool(torch.isfinite(p).all()) for p in self.phenotype.parameters())
        return not lost and math.isfinite(validation.loss) and weights

    def result(self, progress: _Progress, seconds: float) -> dict[str, Any]:
        test_accuracy = None
        if progress.status in ("completed", "stopped-early"):
            started = time.monotonic()
            tensors, _ = self.run_directory.load_best()
            load_state(self.phenotype, tensors, self.run_directory.best)
            test_accuracy = self.experiment.evaluate("test").accuracy
            seconds += time.monotonic() - started
        config, samples = self.config, self.phenotype.samples
        return {
            "status": progress.status,
            "stop_reason": progress.stop_reason or None,
            "signal": progress.signal or None,
            "architecture": config.architecture.name,
            "genotype": config.genotype.name,
            "optimizer": config.optimizer.name,
            "dataset": config.dataset.name,
            "seed": config.training.seed,
            "rounds": progress.round,
            "best_round": progress.best_round if progress.best_round >= 0 else None,
            "validation_accuracy": progress.best.accuracy if progress.best_round >= 0 else None,
            "test_accuracy": test_accuracy,
            "parameters": self.parameters(),
            "sample_evaluations": samples.sample_evaluations,
            "backward_samples": samples.backward_samples,
            "wall_seconds": round(seconds, 3),
        }


def _better(new: Evaluation, best: Evaluation) -> bool:
    """A higher accuracy, or the same with a lower loss."""
    return (new.accuracy, -new.loss) > (best.accuracy, -best.loss)


def _finite(value: float | torch.Tensor | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None

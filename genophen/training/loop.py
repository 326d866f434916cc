"""The training loop: steps and rounds, validation, and what ends a run."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import Any

import torch

from genophen.contracts.optimizer import Metrics
from genophen.contracts.reporter import Reporter
from genophen.contracts.task import Scores
from genophen.errors import PluginError, one_line
from genophen.plugins.isolation import comes_from
from genophen.storage.records import ENDED
from genophen.storage.rundir import RunDirectory, load_state
from genophen.training.account import Account
from genophen.training.experiment import Experiment
from genophen.training.growth import growth_row
from genophen.training.optimizing import check_steps, context_of, make_optimizer
from genophen.training.progress import not_finite
from genophen.training.seeds import seed_global_generators
from genophen.training.signals import StopSignal
from genophen.training.state import TrainingState


class Loop:
    """One run: its objects, its state, and who is told of it."""

    def __init__(self, experiment: Experiment, run: RunDirectory, reporters: Sequence[Reporter]) -> None:
        self.experiment, self.run_directory, self.reporters = experiment, run, reporters
        self.config, self.phenotype = experiment.config, experiment.phenotype
        self.measure = experiment.task.measured()
        training = self.config.training
        seed_global_generators(training.seed)
        context = context_of(self.config, experiment.task, experiment.architecture, self.phenotype, self.tell)
        with self.blame("optimizer"):
            self.optimizer = make_optimizer(self.config, experiment.plugins)
            self.optimizer.setup(context)
        self.state = TrainingState(
            run=run,
            config=self.config,
            phenotype=self.phenotype,
            optimizer=self.optimizer,
            generator=context.generator,
            task=experiment.task,
            task_generator=experiment.generator,
            blame=self.blame,
        )
        self.progress = self.state.progress
        self.account = Account(experiment, self.optimizer, self.progress, run)
        check_steps(self.optimizer, self.config.optimizer.name)

    def blame(self, kind: str) -> AbstractContextManager[None]:
        """Puts an exception down to the run's plugin of that kind."""
        return self.experiment.plugins.blame(kind, self.config.choices()[kind].name)

    @contextmanager
    def _blame_for_step(self) -> Iterator[None]:
        """Puts an exception down to the optimizer, or to the task where it came from the task's own code."""
        try:
            with redirect_stdout(sys.stderr):  # stdout is the result's
                yield
        except BaseException as error:
            with self.blame("task" if comes_from(error, type(self.experiment.task)) else "optimizer"):
                raise

    def tell(self, what: str, done: float | None = None) -> None:
        """Tell the reporters what goes on."""
        for reporter in self.reporters:
            reporter.doing(what, done)

    def run(self, stop_signal: StopSignal) -> None:
        """Train until all rounds are done or something ends the run.

        Every end is saved but divergence, and an interruption in the middle of a step: what a step has half
        done would not go on to the bit, so that the last checkpoint stays.
        """
        try:
            self._train(stop_signal)
        except KeyboardInterrupt:  # raised by a plugin: the user's own is noted
            self._interrupt(signal.SIGINT, "KeyboardInterrupt in a step")
        except PluginError as error:
            # Whoever signals a whole process group ends a plugin's helpers, too.
            if not stop_signal.number:
                raise self.state.unusable(error) from error
            self._interrupt(stop_signal.number, one_line(f"signal {stop_signal.number}; {error.found}"))

    def _train(self, stop_signal: StopSignal) -> None:
        progress = self.progress
        if progress.round < 0:
            self._end_round()  # round 0: the start
        while not progress.status and progress.round < self.config.training.rounds:
            if progress.round and not progress.losses and (budget := self._used_up()):
                progress.stop("completed", budget)  # by what the end of the last round cost
                break
            self.phenotype.train()
            self._take_steps(stop_signal)
            if progress.status not in ("interrupted", "diverged"):
                self._end_round()
        progress.status = progress.status or "completed"
        if progress.status != "diverged":
            self._save()
        self.state.write_best()

    def _take_steps(self, stop_signal: StopSignal) -> None:
        """The steps of one round that are left; a signal or a used-up budget ends it, and the run, early."""
        progress = self.progress
        while not progress.status:
            stop_signal.hold()
            if stop_signal.number:
                self._interrupt(stop_signal.number, f"signal {stop_signal.number}")
            elif progress.losses and (budget := self._used_up()):
                progress.stop("completed", budget)
            elif progress.losses and self.optimizer.stop_reason:
                progress.stop("completed", self.optimizer.stop_reason)
            elif len(progress.losses) >= self.optimizer.steps_per_round:
                return
            else:
                self._step()

    def _interrupt(self, number: int, reason: str) -> None:
        self.progress.signal = number
        self.progress.stop("interrupted", reason)

    def _used_up(self) -> str:
        """The name of the budget that is used up; empty where none is."""
        training = self.config.training
        if 0 < training.max_sample_evaluations <= self.phenotype.samples.sample_evaluations:
            return "max_sample_evaluations"
        return "max_seconds" if 0 < training.max_seconds <= self.progress.seconds else ""

    def _step(self) -> None:
        progress = self.progress
        with self._blame_for_step():
            progress.last = self._checked(self.optimizer.step())
        loss = progress.last.train_loss
        progress.losses.append(loss.detach() if isinstance(loss, torch.Tensor) else loss)
        for reporter in self.reporters:
            reporter.step()
        if self.state.due():
            self._save()

    def _save(self) -> None:
        """Save a checkpoint, or end the run where it has diverged: the last good checkpoint is to stay."""
        if problem := not_finite(self.phenotype, self.progress.losses):
            self.progress.stop("diverged", problem)
        else:
            self.state.save()

    @staticmethod
    def _checked(metrics: object) -> Metrics:
        if not isinstance(metrics, Metrics):
            raise TypeError(f"step() returned {type(metrics).__name__}, not genophen.Metrics")
        return metrics

    def _end_round(self) -> None:
        """Measure, record, keep the best, and decide whether to go on."""
        progress, run = self.progress, self.run_directory
        progress.round += 1
        train_seconds = time.monotonic() - progress.round_started if progress.losses else 0.0
        with self.blame("optimizer"):
            self.optimizer.finish_round()
        self.tell("validating")
        self.state.prove()
        problem = not_finite(self.phenotype, progress.losses)
        validation = self.experiment.evaluate("validation")
        row = self.account.row(validation)
        run.append(run.metrics, row)
        if not problem and (grown := growth_row(self.phenotype.genotype, progress.round)):
            run.append(run.growth, grown)
        always = self.config.training.keep == "last" or bool(self.optimizer.stop_reason)
        if problem := problem or self._not_finite(validation):
            progress.stop("diverged", problem)
        elif not progress.note_best(validation, self.phenotype, always=always) and self._out_of_patience():
            rounds = self.config.training.patience
            progress.stop("stopped-early", f"no better validation {self.measure.name} in {rounds} rounds")
        seconds = time.monotonic() - progress.round_started
        timing = {
            "round": progress.round,
            "seconds": round(seconds, 3),
            "train_seconds": round(train_seconds, 3),
        }
        run.append(run.timings, timing)
        for reporter in self.reporters:
            reporter.round(row, seconds)
        progress.begin_round()
        if progress.status != "diverged" and self.state.due():
            self._save()

    def _not_finite(self, scores: Scores) -> str:
        """Which of a validation's numbers is not finite; empty where none is."""
        named = {"loss": 0.0 if scores.loss is None else scores.loss, self.measure.name: scores.value}
        return next((f"the validation {k} is {v}" for k, v in named.items() if not math.isfinite(v)), "")

    def _out_of_patience(self) -> bool:
        patience, progress = self.config.training.patience, self.progress
        waited = progress.round - progress.best_round
        return 0 < patience <= waited and not self.optimizer.needs_all_rounds

    def result(self) -> dict[str, Any]:
        """What `result.json` says; measures the test images where the run came to its end."""
        test_score = None
        if self.progress.status in ENDED:
            tensors, _ = self.run_directory.load_best()
            load_state(self.phenotype, tensors, self.run_directory.best)
            self.tell("testing")
            test_score = self.experiment.evaluate("test").value
        return self.account.result(test_score)

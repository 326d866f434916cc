"""How long a config's rounds would take on this machine: a few real steps, of which nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from genophen.config.config import Config
from genophen.errors import counted, duration
from genophen.plugins.registry import Plugins
from genophen.training.experiment import assemble
from genophen.training.optimizing import check_steps, context_of, make_optimizer
from genophen.training.preparing import Notify

#: Steps are taken until they have lasted this many seconds, after one that does not count.
MEASURED_SECONDS = 2.0
MOST_STEPS = 50


@dataclass(frozen=True)
class Pace:
    """Seconds of a step (a minibatch, or a generation) and of a validation, as measured."""

    step: float
    validation: float
    steps_per_round: int
    rounds: int

    def seconds(self) -> dict[str, float]:
        """By what they are of."""
        of_round = self.step * self.steps_per_round + self.validation
        return {
            "step": self.step,
            "validation": self.validation,
            "round": of_round,
            "run": of_round * self.rounds,
        }

    def __str__(self) -> str:
        seconds = {
            name: f"{value:.2g} s" if value < 10 else duration(value)
            for name, value in self.seconds().items()
        }
        steps, rounds = counted(self.steps_per_round, "step"), counted(self.rounds, "round")
        return (
            f"About {seconds['round']} a round ({steps} of {seconds['step']}, {seconds['validation']} of "
            f"validation), {duration(self.seconds()['run'])} for {rounds}"
        )


def measure_pace(config: Config, plugins: Plugins, notify: Notify) -> Pace:
    """Assemble what a config describes, its data too, take a few steps and validate once.

    Raises:
        GenophenError: where the run would be refused.
    """
    experiment = assemble(config, plugins, notify)
    context = context_of(config, experiment.task, experiment.architecture, experiment.phenotype)
    name = config.optimizer.name
    with plugins.blame("optimizer", name):
        optimizer = make_optimizer(config, plugins)
        optimizer.setup(context)
    check_steps(optimizer, name)
    validation = _seconds(lambda: experiment.evaluate("validation"))
    experiment.phenotype.train()

    def step() -> None:
        float(optimizer.step().train_loss)  # a GPU has done the step once its loss can be read

    with plugins.blame("optimizer", name):
        _seconds(step)
        taken = [_seconds(step)]
        while sum(taken) < MEASURED_SECONDS and len(taken) < min(MOST_STEPS, optimizer.steps_per_round):
            taken.append(_seconds(step))
    return Pace(sum(taken) / len(taken), validation, optimizer.steps_per_round, config.training.rounds)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started

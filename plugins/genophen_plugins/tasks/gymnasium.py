"""Any environment of Gymnasium with a vector of observations (Towers et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

import genophen
from genophen_plugins.extras import needed
from genophen_plugins.tasks.running_statistics import RunningStatistics

if TYPE_CHECKING:
    from genophen_plugins.tasks.gymnasium_environments import Environments

#: Seeds of training's episodes are below this number, those of validation, trials and test from it on.
SEEDS = 2**30
#: Seeds of the trial episodes of a candidate that may have reached the target.
_TRIALS = 3


class GymnasiumOptions(genophen.Options):
    environment: str = Field(
        "CartPole-v1",
        min_length=1,
        description="its id, as gymnasium.make takes it; 'module:Name-v0' imports the module first",
    )
    arguments: dict[str, bool | int | float | str] = Field(
        {}, description="what the environment is made with, by name"
    )
    episodes: int = Field(1, ge=1, le=100_000, description="starts that a generation's candidates share")
    horizon: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="steps after which an episode ends (default: the environment's own limit, or 1,000)",
    )
    evaluation_episodes: int = Field(
        100, ge=1, le=100_000, description="starts of validation, and of test, the same in every run"
    )
    actions: Literal["tanh", "clip"] = Field(
        "tanh",
        description="continuous actions: the outputs' tanh scaled to the bounds, or outputs cut off there",
    )
    normalize: bool = Field(
        False, description="whether observations are given as widths from the mean of those seen in training"
    )
    target: float | None = Field(
        None,
        description="mean return at which the task is solved, over as many episodes as validation has, of "
        "starts of their own",
    )
    step_seconds: float = Field(
        60.0, ge=0.01, le=1e6, description="seconds after which a step, or a reset, counts as hanging"
    )


class Starts(NamedTuple):
    """Seeds of a generation's episodes (E,), and the mean and width (F,) that observations are scaled by."""

    seeds: Tensor
    mean: Tensor
    width: Tensor


class Gymnasium(genophen.EpisodicTask):
    """A start is the seed that the environment is reset with, so that an episode follows from it.

    Candidates and starts are paired, and all pairs take their steps together, through Gymnasium's vector
    API; what comes out of a pair does not depend on which others there are.
    """

    name = "gymnasium"
    description = "any Gymnasium environment with a vector of observations"
    Options: ClassVar[type[genophen.Options]] = GymnasiumOptions
    options: GymnasiumOptions  # type: ignore[assignment]
    statistics: RunningStatistics
    _environments: Environments | None = None
    _notify: Callable[[str], None] | None = None

    def setup(self, context: genophen.TaskContext) -> None:
        self._notify = context.notify
        #: Observations of episodes that the statistics do not have yet, and what their sums are about.
        self._notes: list[tuple[list[Any], np.ndarray]] = []
        super().setup(context)
        self.statistics = RunningStatistics(self.input_shape[0])

    def shapes(self) -> tuple[tuple[int, ...], int]:
        module = self._module()
        with redirect_stdout(module.Listener(self.options.environment, self._notify or (lambda note: None))):
            self._limit, self._spaces = module.look_at(self.options)
        return (self._spaces.observations,), self._spaces.outputs

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(SEEDS, (count,), generator=generator)

    def measured_starts(self, split: str) -> Tensor:
        return SEEDS + super().measured_starts(split)  # type: ignore[arg-type]

    def draw(self) -> Starts:  # type: ignore[override]
        self._settle()
        seeds = self.starts(self.options.episodes, self._generator)
        return Starts(seeds, *self.statistics.mean_and_width())

    def fitness(self, networks: Any, batch: Starts) -> Tensor:  # type: ignore[override]
        scale = (batch.mean.numpy(), batch.width.numpy())
        return self._run(networks, batch.seeds, scale, gather=self.options.normalize).returns.mean(1)

    def run(self, networks: genophen.Networks, starts: Tensor, horizon: int = 0) -> genophen.Episodes:
        """`horizon` is the environment's here: each ends by itself."""
        self._settle()
        mean, width = self.statistics.mean_and_width()
        return self._run(networks, starts, (mean.numpy(), width.numpy()))

    def evaluate(self, phenotype: genophen.Phenotype, split: str) -> genophen.Scores:
        episodes = self.run(genophen.Networks.of(phenotype), self.measured_starts(split))
        steps = float(episodes.steps.double().mean())
        return genophen.Scores(float(episodes.returns.mean()), extras={"steps": steps})

    def solved(self, alone: Callable[[int], Any], fitness: Tensor) -> int | None:
        """The best candidate, the first of equals, where it reaches the target in trials, too."""
        target, known = self.options.target, fitness.nan_to_num(-torch.inf)
        best = int((known == known.max()).nonzero()[0])
        if target is None or known[best] < target:
            return None
        network = alone(best)
        generator = torch.Generator().manual_seed(_TRIALS)
        starts = SEEDS + self.starts(self.options.evaluation_episodes, generator)
        with network.samples.paused():
            reached = self.run(network, starts).returns.mean()
        network.samples.count_tests(len(starts))
        return best if reached >= target else None

    def playback(
        self, phenotype: genophen.Phenotype, start: int, steps: int | None
    ) -> genophen.Playback | None:
        starts = self.measured_starts("test")
        if not 0 <= start < len(starts):
            raise genophen.ConfigError(
                f"cannot play the episode from start {start}",
                found=f"the task {self.name} is measured from {len(starts)} starts",
                allowed=f"0 to {len(starts) - 1}",
            )
        mean, width = (each.numpy() for each in self.statistics.mean_and_width())
        network, seed = genophen.Networks.of(phenotype), int(starts[start])
        playing = import_module("genophen_plugins.tasks.gymnasium_playing")
        with network.samples.paused():
            controllers = genophen.as_controllers(network)
            scale = (mean, width) if self.options.normalize else None
            kind = self._kind(steps)
            found: genophen.Playback = playing.play(kind, self._spaces, controllers, seed, scale)
        return found

    def take_notes(self) -> Any:
        notes, self._notes = self._notes, []
        return notes

    def add_notes(self, notes: Any) -> None:
        self._notes += notes

    def digest(self) -> str:
        made = "".join(f", {name} = {value}" for name, value in sorted(self.options.arguments.items()))
        episodes = f"{self.options.evaluation_episodes} episodes of {self._limit} steps"
        return f"gymnasium: {self.options.environment}{made}, {episodes}"

    def state_dict(self) -> dict[str, Any]:
        self._settle()  # the statistics themselves are kept with the weights
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """What other processes need for the fitness: they make environments of their own."""
        own = ("_environments", "_notify", "_generator")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def _run(
        self,
        networks: genophen.Networks,
        seeds: Tensor,
        scale: tuple[np.ndarray, np.ndarray],
        gather: bool = False,
    ) -> genophen.Episodes:
        """All pairs of networks and seeds (E,)."""
        if self._environments is None:
            module = self._module()
            listener = module.Listener(self.options.environment, self._notify or (lambda note: None))
            self._environments = module.Environments(self._kind(), self._spaces, listener)
        shape = (networks.count, len(seeds))
        rows = np.arange(shape[0]).repeat(shape[1])
        with networks.samples.paused():
            found = self._environments.run(
                genophen.as_controllers(networks),
                rows,
                seeds.tolist() * shape[0],
                scale if self.options.normalize else None,
                gather,
            )
        networks.samples.count_episodes(len(rows), int(found.steps.sum()))
        if gather:
            self._notes.append((found.sums, scale[0]))
        steps, ended, returns = (
            torch.from_numpy(each).view(shape) for each in (found.steps, found.ended, found.returns)
        )
        return genophen.Episodes(steps, ended, returns, torch.zeros_like(returns))

    def _settle(self) -> None:
        """Take what was noted into the statistics."""
        for sums, middle in self.take_notes():
            self.statistics.add(sums, middle)

    def _kind(self, steps: int | None = None) -> Any:
        options = self.options
        return self._module().Kind(
            options.environment, options.arguments, steps or self._limit, options.step_seconds
        )

    def _module(self) -> Any:
        """What stands on gymnasium, once that is known to be there."""
        needed("gymnasium", "control", "cannot use the task gymnasium")
        return import_module("genophen_plugins.tasks.gymnasium_environments")


@genophen.hookimpl
def register_tasks(register):  # type: ignore[no-untyped-def]
    register(Gymnasium)

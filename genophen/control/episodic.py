"""Tasks of episodes: a controller is as good as what it brings about from given starts."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from genophen.contracts.options import Options
from genophen.contracts.playback import Playback
from genophen.contracts.task import Scores, SplitName, Task, TaskContext
from genophen.control.controllers import run_networks
from genophen.control.episodes import Episodes
from genophen.control.playing import play
from genophen.control.world import World
from genophen.errors import ConfigError
from genophen.phenotype.phenotype import Phenotype
from genophen.population.networks import Networks

#: Seeds of the starts that validation and test are measured from; training draws its own.
_SEEDS = {"validation": 1, "test": 2}


class EpisodeOptions(Options):
    """What every task of episodes has."""

    episodes: int = Field(1, ge=1, le=100_000, description="starts that a generation's candidates share")
    horizon: int = Field(1000, ge=1, le=10_000_000, description="steps after which an episode ends")
    evaluation_episodes: int = Field(
        100, ge=1, le=100_000, description="starts of validation, and of test, the same in every run"
    )


class EpisodicTask(Task):
    """Networks are controllers; the mean return over episodes is the score, and a candidate's fitness."""

    Options: ClassVar[type[Options]] = EpisodeOptions
    options: EpisodeOptions
    measure = "return"
    inputs = "episodes"
    differentiable = False

    def setup(self, context: TaskContext) -> None:
        self._generator = context.generator
        self.steps_per_round = 1
        self.input_shape, self.num_outputs = self.shapes()

    @abstractmethod
    def shapes(self) -> tuple[tuple[int, ...], int]:
        """Shape of an observation, and numbers that a controller gives."""

    @abstractmethod
    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        """Where episodes begin, (count, ...): drawn, or given."""

    @abstractmethod
    def run(self, networks: Networks, starts: Tensor, horizon: int) -> Episodes:
        """What every network does from every start."""

    def judge(self, episodes: Episodes) -> Tensor:
        """How good each candidate was in each episode, (P, E); higher is better. By default: the return."""
        return episodes.returns

    def draw(self) -> Tensor:
        return self.starts(self.options.episodes, self._generator)

    def fitness(self, networks: Any, batch: Tensor) -> Tensor:
        return self.judge(self.run(networks, batch, self.options.horizon)).mean(1)

    def measured_starts(self, split: SplitName) -> Tensor:
        """Where the episodes begin that a split is measured on, the same in every run."""
        generator = torch.Generator().manual_seed(_SEEDS.get(split, 0))
        return self.starts(self.options.evaluation_episodes, generator)

    def evaluate(self, phenotype: Phenotype, split: SplitName) -> Scores:
        starts = self.measured_starts(split)
        episodes = self.run(Networks.of(phenotype), starts, self.options.horizon)
        return Scores(float(episodes.returns.mean()), extras={"steps": float(episodes.steps.double().mean())})

    def sizes(self) -> dict[str, int]:
        return dict.fromkeys(("validation", "test"), self.options.evaluation_episodes)

    def digest(self) -> str:
        return f"{self.name}: {self.options.evaluation_episodes} episodes of {self.options.horizon} steps"


class SimulatedTask(World, EpisodicTask):
    """A task with a world of its own: `observe`, `advance`, `alive`, and `starts` that are its states."""

    def shapes(self) -> tuple[tuple[int, ...], int]:
        return (self.num_observations,), self.num_actions

    def run(self, networks: Networks, starts: Tensor, horizon: int) -> Episodes:
        return run_networks(self, networks, starts, horizon)

    def playback(self, phenotype: Phenotype, start: int, steps: int | None) -> Playback:
        starts = self.measured_starts("test")
        if not 0 <= start < len(starts):
            raise ConfigError(
                f"cannot play the episode from start {start}",
                found=f"the task {self.name} is measured from {len(starts)} starts",
                allowed=f"0 to {len(starts) - 1}",
            )
        return play(self, Networks.of(phenotype), starts[start], steps or self.options.horizon)

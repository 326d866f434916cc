"""All that the next steps of a run depend on, and its checkpoints: when one is due, saving, restoring."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from genophen.config.config import Config
from genophen.contracts.optimizer import Optimizer
from genophen.contracts.task import Task
from genophen.errors import DamagedError, GenophenError, PluginError, one_line
from genophen.phenotype.phenotype import Phenotype
from genophen.storage.guard import GuardedPath
from genophen.storage.packing import pack, unpack
from genophen.storage.reading import checked
from genophen.storage.records import Count, Record
from genophen.storage.rundir import RunDirectory, load_state
from genophen.training.progress import Progress
from genophen.training.seeds import global_generators, restore_global_generators
from genophen.training.space import check_space

#: Seconds between two checkpoints where the config says nothing, and the least multiple of a save's own
#: duration, so that saving takes less than 2% of the time.
CHECKPOINT_SECONDS = 30.0
_SAVE_SHARE = 60
_COUNTS = Annotated[list[Count], Field(min_length=2, max_length=4)]


class _Values(Record):
    """What is in a checkpoint beside the state."""

    files: dict[Literal["metrics.jsonl", "timings.jsonl", "growth.jsonl"], Count] = Field(min_length=2)
    settings: dict[str, Any]


@dataclass
class TrainingState:
    """The parts of a run that change, and the folder that they are saved in."""

    run: RunDirectory
    config: Config
    phenotype: Phenotype
    optimizer: Optimizer
    #: The optimizer's generator.
    generator: torch.Generator
    task: Task
    task_generator: torch.Generator
    #: Puts an exception down to the run's plugin of a kind.
    blame: Callable[[str], AbstractContextManager[None]]
    progress: Progress = field(default_factory=Progress)
    _saved_at: float = field(default_factory=time.monotonic)
    _save_seconds: float = 0.0
    _written_best: int = -1
    #: The checkpoint that the run was resumed from, until its state has proved itself.
    _source: GuardedPath | None = None

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        progress, training = self.progress, self.config.training
        seconds, every = training.checkpoint_seconds, training.checkpoint_rounds
        if every and not progress.losses and progress.round % every == 0:
            return True
        if seconds is None:
            seconds = max(CHECKPOINT_SECONDS, _SAVE_SHARE * self._save_seconds)
        return time.monotonic() - self._saved_at >= seconds

    def save(self) -> None:
        """Write a checkpoint, and the best weights beside it, unless this very state has been saved.

        Raises:
            GenophenError: where it cannot be written; the last checkpoint is as it was.
            PluginError: where the optimizer's or the task's state cannot be saved.
        """
        started = time.monotonic()
        name, checkpoints = self.progress.name, self.run.checkpoints
        if name != checkpoints.current:
            tensors, packed = self._packed()
            values = {"format": 1, "round": self.progress.round, "state": packed}
            values |= {"files": self.run.sizes(), "settings": self.config.settings()}
            with self.run.writing(checkpoints.folder / name):
                checkpoints.save(name, tensors, values)
        self.write_best()
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - started

    def write_best(self) -> None:
        """Bring `best/` up to date."""
        progress = self.progress
        if progress.best_tensors and progress.best_round != self._written_best:
            values = {"round": progress.best_round, "validation_score": progress.best.value}
            self.run.save_best(progress.best_tensors, values)
            self._written_best = progress.best_round

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any], source: GuardedPath) -> None:
        """Take over what `save` wrote; `source` is the checkpoint's folder.

        Raises:
            DamagedError: where it is no state of this run.
        """
        self._source = source
        try:
            checked(_Values, values)
            state, sizes = unpack(tensors, values["state"]), values["files"]
            self.progress.load_state_dict(state["progress"])
            if self.progress.name != source.name:
                raise ValueError(f"it is the state of {self.progress.name}")
            if "task_generator" in state:  # before there were tasks, the batches kept theirs
                self.task_generator.set_state(state["task_generator"])
            self.generator.set_state(state["generator"])
            samples = self.phenotype.samples
            samples.forward_samples, samples.backward_samples, *episodes = checked(_COUNTS, state["samples"])
            samples.episodes, samples.test_episodes = episodes or (0, 0)  # older ones had none
            if self.progress.best_tensors:  # to see that they fit
                load_state(self.phenotype, self.progress.best_tensors, source)
            load_state(self.phenotype, state["phenotype"], source)
            for name, buffer in state["other_buffers"].items():
                self.phenotype.get_buffer(name).copy_(buffer)
            with self.blame("task"):
                self.task.load_state_dict(state["task"] if "task" in state else state["batches"])
            with self.blame("optimizer"):
                self.optimizer.load_state_dict(state["optimizer"])
            restore_global_generators(state["global"])
        except PluginError as error:
            raise self.unusable(error) from error
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
            raise self._refused(f"{type(error).__name__}: {one_line(str(error))}") from error
        with self.run.writing(source):
            self.run.checkpoints.follow(source.name)
        self.run.cut_back(sizes)
        self.write_best()  # a later round's may lie there, from before a crash

    def prove(self) -> None:
        """Note that the optimizer has worked with its state: what it raises from now on is its own fault."""
        self._source = None

    def unusable(self, error: PluginError) -> GenophenError:
        """A plugin's error, or a DamagedError where its state from a checkpoint may be to blame."""
        return error if self._source is None or error.foreseen else self._refused(error.found)

    def _refused(self, found: str) -> DamagedError:
        return DamagedError(
            f"cannot use the checkpoint {self._source}",
            found=found,
            allowed="a state that this version of genophen saved",
            next_step="was it saved by another version, or has config.toml or a plugin been changed since? "
            f"Another one: genophen resume {self.run.path} --checkpoint NAME",
        )

    def check_space(self) -> None:
        """Raise a GenophenError where the disk has less room than the run may need."""
        tensors, _ = self._packed()
        check_space(
            self.run.path,
            self.phenotype,
            sum(tensor.nbytes for tensor in tensors.values()),
            self.config.training.rounds,
            samples=self.task.sizes().get("train", 0),
            replaceable=self.run.replaceable_bytes(),
        )

    def _packed(self) -> tuple[dict[str, Tensor], Any]:
        phenotype_state, samples = self.phenotype.state_dict(), self.phenotype.samples
        buffers = dict(self.phenotype.named_buffers())
        with self.blame("optimizer"):
            optimizer_state = self.optimizer.state_dict()
        with self.blame("task"):
            task_state = self.task.state_dict()
        state = {
            "progress": self.progress.state_dict(),
            "phenotype": phenotype_state,
            "other_buffers": {name: b for name, b in buffers.items() if name not in phenotype_state},
            "samples": [
                samples.forward_samples,
                samples.backward_samples,
                samples.episodes,
                samples.test_episodes,
            ],
            "task": task_state,
            "task_generator": self.task_generator.get_state(),
            "generator": self.generator.get_state(),
            "global": global_generators(),
            "optimizer": optimizer_state,
        }
        return pack(state, "state")

"""How many images a run has looked at, counted the same way for every optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import register_multi_grad_hook


@dataclass
class SampleCounter:
    """Counts sample evaluations: one candidate on one image is one, however it is computed.

    A backward pass through an image counts two more. What runs inside `paused()` is not counted:
    validation and test are recorded apart. In control tasks a step of one episode is one sample.
    """

    forward_samples: int = 0
    backward_samples: int = 0
    #: One candidate from one start; and of these, trials that only test whether a task is solved.
    episodes: int = 0
    test_episodes: int = 0
    _paused: bool = False

    @property
    def sample_evaluations(self) -> int:
        return self.forward_samples + 2 * self.backward_samples

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing inside the block."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def count(self, samples: int, output: object) -> None:
        """Count a forward pass over `samples` images, and each backward pass from its output.

        Within `torch.compile`, which takes no hook, one backward pass is counted wherever there can be one.
        """
        if self._paused:
            return
        self.forward_samples += samples
        if torch.compiler.is_compiling() and torch.is_grad_enabled():
            self.backward_samples += samples * any(tensor.requires_grad for tensor in tensors_in(output))
        on_backward(output, lambda: self._count_backward(samples))

    def take(self) -> SampleCounter:
        """What was counted until now, of which nothing is left here."""
        taken = SampleCounter(self.forward_samples, self.backward_samples, self.episodes, self.test_episodes)
        self.forward_samples = self.backward_samples = self.episodes = self.test_episodes = 0
        return taken

    def add(self, taken: SampleCounter) -> None:
        """Count, too, what a copy of the phenotype counted in another process."""
        self.forward_samples += taken.forward_samples
        self.backward_samples += taken.backward_samples
        self.episodes += taken.episodes
        self.test_episodes += taken.test_episodes

    def count_episodes(self, episodes: int, steps: int) -> None:
        """Count episodes of so many steps in all, each step as one sample."""
        if not self._paused:
            self.episodes += episodes
            self.forward_samples += steps

    def count_tests(self, episodes: int) -> None:
        """Count trials that test whether a task is solved, apart from what candidates are ranked by."""
        self.test_episodes += episodes

    def episode_counts(self) -> dict[str, int]:
        """Both counts of episodes by name; none where there were no episodes."""
        counts = {"episodes": self.episodes, "test_episodes": self.test_episodes}
        return counts if self.episodes else {}

    def _count_backward(self, samples: int) -> None:
        self.backward_samples += samples


def on_backward(output: object, call: Callable[[], None]) -> None:
    """Call back once in each backward pass that begins at an output: tensors in tuples, lists and dicts.

    Not within `torch.compile`.
    """
    if torch.compiler.is_compiling():
        return
    tensors = [tensor for tensor in tensors_in(output) if tensor.requires_grad]
    if tensors and torch.is_grad_enabled():
        register_multi_grad_hook(tensors, lambda _: call(), mode="any")


def tensors_in(output: object) -> list[Tensor]:
    """The tensors of a network's output, in order."""
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, list | tuple):
        return [tensor for each in output for tensor in tensors_in(each)]
    return [output] if isinstance(output, Tensor) else []

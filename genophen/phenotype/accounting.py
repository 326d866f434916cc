"""How many images a run has looked at, counted the same way for every optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class SampleCounter:
    """Counts sample evaluations: one candidate on one image is one, however it is computed.

    A backward pass through an image counts two more. What runs inside `paused()` is not counted:
    validation and test are recorded apart.
    """

    forward_samples: int = 0
    backward_samples: int = 0
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
        """Count a forward pass over `samples` images, and its backward pass if one ever runs."""
        if self._paused:
            return
        self.forward_samples += samples
        if isinstance(output, tuple | list) and output:  # logits first, as is the custom
            output = output[0]
        if isinstance(output, Tensor) and output.requires_grad and torch.is_grad_enabled():
            output.register_hook(lambda _: self._count_backward(samples))

    def take(self) -> SampleCounter:
        """What was counted until now, of which nothing is left here."""
        taken = SampleCounter(self.forward_samples, self.backward_samples)
        self.forward_samples = self.backward_samples = 0
        return taken

    def add(self, taken: SampleCounter) -> None:
        """Count, too, what a copy of the phenotype counted in another process."""
        self.forward_samples += taken.forward_samples
        self.backward_samples += taken.backward_samples

    def _count_backward(self, samples: int) -> None:
        self.backward_samples += samples

"""What the checks set tasks up with: a data set of 64 random images, or a text, where they stand over one."""

from __future__ import annotations

from pathlib import Path

import torch

from genophen.config.settings import TrainingSettings
from genophen.contracts.dataset import Data, Split
from genophen.contracts.sequences import Text
from genophen.contracts.task import TaskContext
from genophen.data.augmentation import Augmentation


def small_images() -> Data:
    """64 images of three classes, the same in every split."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=draws)
    split = Split(images, torch.randint(0, 3, (64,), generator=draws))
    return Data(split, split, ("a", "b", "c"), validation=split)


def small_text() -> Text:
    """2,000 symbols of three kinds, the same in every split."""
    numbers = torch.randint(0, 3, (2000,), generator=torch.Generator().manual_seed(0))
    return Text(numbers, numbers, numbers, ("a", "b", "c"))


def small_context(training: TrainingSettings, data: Data | Text | None = None, seed: int = 0) -> TaskContext:
    """A context that leaves the shapes to the task; equal seeds give equal draws. No data: images."""
    return TaskContext(
        architecture="of the check",
        input_shape=None,
        num_outputs=None,
        device=torch.device("cpu"),
        generator=torch.Generator().manual_seed(seed),
        training=training,
        augmentation=Augmentation(padding=1),
        storage="memory",
        data_dir=Path("data"),
        data=small_images() if data is None else data,
        dataset="of the check",
        notify=lambda note: None,
    )

"""What the checks set tasks up with: a data set of 64 random images, where they stand over one."""

from __future__ import annotations

from pathlib import Path

import torch

from genophen.config.settings import TrainingSettings
from genophen.contracts.dataset import Data, Split
from genophen.contracts.task import TaskContext
from genophen.data.augmentation import Augmentation


def small_context(training: TrainingSettings, seed: int = 0) -> TaskContext:
    """A context that leaves the shapes to the task; equal seeds give equal draws."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=draws)
    split = Split(images, torch.randint(0, 3, (64,), generator=draws))
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
        data=Data(split, split, ("a", "b", "c"), validation=split),
        dataset="of the check",
        notify=lambda note: None,
    )

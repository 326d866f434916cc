"""Training on real paths: batches alone, and whole rounds, beside plain PyTorch in the same run.

Chunks of steps alternate between the contestants, so that the machine's moods meet all alike:

- genophen: phenotype (hypernetwork), genophen's batches, the shipped Adam, as `genophen run` trains;
- plain: the same network with ordinary weights, channels-last, the same batches, torch's Adam;
- DataLoader: the same network, contiguous, with torch's DataLoader and torchvision's transforms.

Images are random: what is measured is time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from benchmarks.table import Table
from benchmarks.timing import compare
from genophen.config.settings import TrainingSettings
from genophen.contracts.dataset import Data, Split
from genophen.contracts.optimizer import Context
from genophen.contracts.options import Options
from genophen.contracts.task import TaskContext
from genophen.data.augmentation import Augmentation
from genophen.data.batches import Normalization, TrainBatches
from genophen.data.classification import Classification
from genophen.phenotype.compiling import compile_phenotype
from genophen.plugins.loading import load_plugins

#: Architecture, training images of its data set, batch size, padding, flip, embedding_dim: as in examples/.
CASES = [
    ("mnist-cnn", 55_000, 250, 1, False, 4),
    ("vgg-block1", 45_000, 128, 2, True, 16),
    ("vgg-block2", 45_000, 128, 2, True, 16),
    ("vgg-block3", 45_000, 128, 2, True, 16),
]
#: Steps in a turn of the rounds, and batches in one of batches alone.
CHUNK, BATCHES = 16, 24
#: Seconds after which a DataLoader's workers have filled their queue of 4 batches, and sleep.
REST = 0.3
Case = tuple[str, int, int, int, bool, int]


class _Images(TorchDataset[Any]):
    def __init__(self, split: Split, padding: int, flip: bool) -> None:
        channels, size = split.images.shape[1], split.images.shape[2]
        self.split = split
        steps: list[Any] = [transforms.ToPILImage(), transforms.RandomCrop(size, padding)]
        steps += [transforms.RandomHorizontalFlip()] if flip else []
        steps += [transforms.ToTensor(), transforms.Normalize([0.5] * channels, [0.25] * channels)]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.split.images[index]), int(self.split.labels[index])


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _split(shape: tuple[int, int, int], images: int) -> tuple[Split, Normalization]:
    """Random images, and a normalization for them."""
    split = Split(torch.randint(0, 256, (images, *shape), dtype=torch.uint8), torch.randint(0, 10, (images,)))
    middle = torch.full((shape[0], 1, 1), 128.0)
    return split, Normalization(middle, middle / 2, torch.channels_last)


def _batches(case: Case, split: Split, normalization: Normalization) -> TrainBatches:
    _, _, batch_size, padding, flip, _ = case
    augmentation, shape = Augmentation(padding=padding, flip=flip), tuple(split.images.shape[1:])
    return TrainBatches(split, normalization, shape, batch_size, augmentation, torch.Generator())


def _task(case: Case, split: Split) -> Classification:
    """Classification of the images, as a run sets it up."""
    name, _, batch_size, padding, flip, _ = case
    task = Classification()
    context = TaskContext(
        architecture=name,
        input_shape=tuple(split.images.shape[1:]),
        num_outputs=10,
        device=torch.device("cpu"),
        generator=torch.Generator(),
        training=TrainingSettings(batch_size=batch_size),
        augmentation=Augmentation(padding=padding, flip=flip),
        storage="memory",
        data_dir=Path(),
        data=Data(split, split, tuple("0123456789"), validation=split),
        dataset="random images",
        notify=print,
    )
    task.setup(context)
    task.use_memory_format(torch.channels_last)
    return task


def _loader(case: Case, split: Split, workers: int) -> Iterator[Any]:
    _, _, batch_size, padding, flip, _ = case
    images = _Images(split, padding, flip)
    return _endless(DataLoader(images, batch_size, shuffle=True, num_workers=workers))


def batch_sources(case: Case, images: int) -> dict[str, Callable[[], object]]:
    """What gives the next batch, each time it is called."""
    shape = load_plugins().get("architecture", case[0]).cls.input_shape
    split, normalization = _split(shape, images)
    batches = _batches(case, split, normalization)
    inside, workers = _loader(case, split, workers=0), _loader(case, split, workers=2)
    return {
        "genophen": batches.next,
        "DataLoader": lambda: next(inside),
        "DataLoader, 2 workers": lambda: next(workers),
    }


def _plain_step(network: nn.Module, next_batch: Callable[[], Any]) -> Callable[[], None]:
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)

    def step() -> None:
        images, labels = next_batch()
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def contestants(case: Case, images: int) -> dict[str, Callable[[], None]]:
    """A step function for each contestant, on `images` random images."""
    name, embedding_dim = case[0], case[-1]
    plugins = load_plugins()
    architecture = plugins.get("architecture", name).cls()
    shape = architecture.input_shape
    split, normalization = _split(shape, images)

    def batches() -> TrainBatches:
        return _batches(case, split, normalization)

    cls = plugins.get("genotype", "hypernetwork").cls
    phenotype = compile_phenotype(
        architecture.build(), architecture.expressed(), cls, cls.Options(embedding_dim=embedding_dim)
    ).to(memory_format=torch.channels_last)
    adam = plugins.get("optimizer", "adam").cls()
    adam.setup(
        Context(
            phenotype=phenotype,
            task=_task(case, split),
            readout=None,
            training=Options(),
            total_rounds=1000,
            generator=torch.Generator(),
            optimizer="adam",
        )
    )
    loader = _loader(case, split, workers=2)
    return {
        "plain": _plain_step(architecture.build().to(memory_format=torch.channels_last), batches().next),
        "genophen": lambda: adam.step() and None,
        "DataLoader": _plain_step(architecture.build(), lambda: next(loader)),
    }


def tables(pairs: int) -> list[Table]:
    """The time of a round, from chunks of steps in turn."""
    found = []
    for case in CASES:
        steps = contestants(case, images=20_000)
        chunks = {name: partial(_chunk, step, CHUNK) for name, step in steps.items()}
        share = CHUNK / (case[1] / case[2])  # of a round, in a chunk
        rows = compare(chunks, "plain", pairs, per_call=share, rest=REST)
        found.append(Table(f"a training round: {case[0]}, {case[1]:,} images, batch {case[2]}", rows))
    return found


def data_tables(pairs: int) -> list[Table]:
    """The time of a batch alone: taken, augmented, normalised, handed over."""
    found = []
    for case in (CASES[0], CASES[-1]):
        sources = batch_sources(case, images=20_000)
        chunks = {name: partial(_chunk, source, BATCHES) for name, source in sources.items()}
        least = {name: 10.0 for name in sources if name.startswith("DataLoader")}
        rows = compare(chunks, "genophen", pairs, per_call=BATCHES, rest=REST)
        title = f"a batch of {case[2]}, padding {case[3]}, flips {case[4]}: {case[0]}"
        found.append(Table(title, rows, at_least=least))
    return found


def _chunk(step: Callable[[], object], count: int) -> None:
    for _ in range(count):
        step()

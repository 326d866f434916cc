"""Seconds of a training round, beside plain PyTorch on the same network in the same run.

    python -m benchmarks.training_round [steps]

Chunks of steps alternate between the contestants, so that the machine's moods meet all alike:

- genophen: phenotype (hypernetwork), genophen's batches, the shipped Adam, as `genophen run` trains;
- plain: the same network with ordinary weights, channels-last, the same batches, torch's Adam;
- DataLoader: the same network, contiguous, with torch's DataLoader and torchvision's transforms.

Images are random: what is measured is time. Medians of the chunks; the ratio is the median of chunk ratios.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from genophen.augmentation import Augmentation
from genophen.batches import EvaluationBatches, Normalization, TrainBatches
from genophen.dataset import Data, Split
from genophen.environment import machine, package_versions
from genophen.optimizer import Context
from genophen.options import Options
from genophen.phenotype import compile_phenotype
from genophen.plugins import load_plugins

#: Architecture, training images of its data set, batch size, padding, flip, embedding_dim: as in examples/.
CASES = [("mnist-cnn", 55_000, 250, 1, False, 4), ("vgg-block3", 45_000, 128, 2, True, 16)]
CHUNK = 5


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


def _plain_step(network: nn.Module, next_batch: Callable[[], Any]) -> Callable[[], None]:
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)

    def step() -> None:
        images, labels = next_batch()
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def contestants(case: tuple[str, int, int, int, bool, int], images: int) -> dict[str, Callable[[], None]]:
    """A step function for each contestant, on `images` random images."""
    name, _, batch_size, padding, flip, embedding_dim = case
    plugins = load_plugins()
    architecture = plugins.get("architecture", name).cls()
    shape = architecture.input_shape
    split = Split(torch.randint(0, 256, (images, *shape), dtype=torch.uint8), torch.randint(0, 10, (images,)))
    augmentation = Augmentation(padding=padding, flip=flip)

    middle = torch.full((shape[0], 1, 1), 128.0)
    normalization = Normalization(middle, middle / 2, torch.channels_last)

    def batches() -> TrainBatches:
        return TrainBatches(split, normalization, shape, batch_size, augmentation, torch.Generator())

    cls = plugins.get("genotype", "hypernetwork").cls
    phenotype = compile_phenotype(
        architecture.build(), architecture.expressed(), cls, cls.Options(embedding_dim=embedding_dim)
    ).to(memory_format=torch.channels_last)
    adam = plugins.get("optimizer", "adam").cls()
    data = Data(split, split, tuple("0123456789"), validation=split)
    adam.setup(
        Context(
            phenotype=phenotype,
            batches=batches(),
            train_images=EvaluationBatches(split, normalization, shape, 500),
            data=data,
            readout=None,
            training=Options(),
            total_rounds=1000,
            generator=torch.Generator(),
        )
    )
    loader = _endless(DataLoader(_Images(split, padding, flip), batch_size, shuffle=True, num_workers=2))
    return {
        "genophen": lambda: adam.step() and None,
        "plain": _plain_step(architecture.build().to(memory_format=torch.channels_last), batches().next),
        "DataLoader": _plain_step(architecture.build(), lambda: next(loader)),
    }


def measure(case: tuple[str, int, int, int, bool, int], chunks: int) -> dict[str, list[float]]:
    """Seconds a step of each contestant, one number a chunk, after a chunk of warming up."""
    steps = contestants(case, images=20_000)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(chunks + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            for _ in range(CHUNK):
                step()
            seconds[name].append((time.perf_counter() - started) / CHUNK)
    return {name: values[1:] for name, values in seconds.items()}


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 150
    about = machine(torch.device("cpu"))
    print(f"{about['processor']}, {about['threads']} threads, torch {package_versions()['torch']}")
    print(f"{steps} steps each, in chunks of {CHUNK} in turn")
    print(
        f"{'architecture':<12} {'contestant':<11} {'ms a step':>10} {'s a round':>10} {'ratio to plain':>15}"
    )
    for case in CASES:
        seconds = measure(case, max(1, steps // CHUNK))
        for name, values in seconds.items():
            ratios = [ours / plain for ours, plain in zip(values, seconds["plain"], strict=True)]
            step, per_round = statistics.median(values), case[1] / case[2]
            print(
                f"{case[0]:<12} {name:<11} {step * 1e3:>10.1f} {step * per_round:>10.1f} "
                f"{statistics.median(ratios):>15.3f}"
            )


if __name__ == "__main__":
    main()

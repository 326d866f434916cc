"""How the cost of the genotype grows: with depth, embedding_dim, batch and population."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.networks import (
    DEVICE,
    make_architecture,
    make_phenotype,
    make_plain,
    training_step,
)
from benchmarks.population import contestants
from benchmarks.table import Table
from benchmarks.timing import against, compare, timed
from genophen.phenotype.compiling import compile_phenotype
from genophen.plugins.loading import load_plugins

DEPTHS = (1, 4, 16, 64)
EMBEDDING_DIMS = (4, 16, 64)
BATCHES = (32, 128, 512)
POPULATIONS = (16, 64, 256)


def tables(pairs: int) -> list[Table]:
    found = [_depth(depth, pairs) for depth in DEPTHS]
    found += [_vgg(128, embedding_dim, pairs) for embedding_dim in EMBEDDING_DIMS]
    found += [_vgg(batch, 16, pairs) for batch in BATCHES if batch != 128]
    return [*found, _populations()]


def _depth(depth: int, pairs: int) -> Table:
    """Layers of 16 channels, all expressed, on small images: where the genotype weighs most."""
    layers = [layer for _ in range(depth) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
    plain = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 64, 10)).to(DEVICE)
    cls = load_plugins().get("genotype", "hypernetwork").cls
    patterns = [f"{2 * index}.weight" for index in range(depth)]
    phenotype = compile_phenotype(plain, patterns, cls, cls.Options(embedding_dim=16))
    return _steps(f"{depth} expressed layers of 16 channels, 8x8 images, batch 128", plain, phenotype, pairs)


def _steps(title: str, plain: nn.Module, phenotype: nn.Module, pairs: int) -> Table:
    images, labels = torch.randn(128, 16, 8, 8, device=DEVICE), torch.randint(0, 10, (128,), device=DEVICE)
    images = images.to(memory_format=torch.channels_last)
    steps = {"plain": plain, "genophen": phenotype}
    steps_of = {
        n: training_step(network.to(memory_format=torch.channels_last), images, labels)
        for n, network in steps.items()
    }
    return Table(f"training step: {title}", compare(steps_of, "plain", pairs))


def _vgg(batch: int, embedding_dim: int, pairs: int) -> Table:
    architecture = make_architecture("vgg-block2")
    images = torch.randn(batch, *architecture.input_shape, device=DEVICE)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,), device=DEVICE)
    steps = {
        "plain": training_step(make_plain(architecture), images, labels),
        "genophen": training_step(make_phenotype(architecture, embedding_dim), images, labels),
    }
    title = f"training step: vgg-block2, batch {batch}, embedding_dim {embedding_dim}"
    return Table(title, compare(steps, "plain", pairs))


def _populations() -> Table:
    """Time a candidate, by candidates evaluated together; the whole genotype varies."""
    calls = {count: contestants("genotype", count, 250)["genophen"] for count in POPULATIONS}
    seconds: dict[int, list[float]] = {count: [] for count in POPULATIONS}
    with torch.no_grad():
        for turn in range(6):
            for count, call in calls.items():
                taken = timed(call) / count
                if turn:
                    seconds[count].append(taken)
    first = seconds[POPULATIONS[0]]
    rows = [against(f"{count} candidates", seconds[count], first) for count in POPULATIONS]
    return Table("a candidate on 250 images of MNIST", rows)

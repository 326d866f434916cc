"""A training step (forward, backward, Adam) and an evaluation step of each shipped architecture."""

from __future__ import annotations

import torch

from benchmarks.networks import (
    DEVICE,
    Generated,
    evaluation_step,
    make_architecture,
    make_phenotype,
    make_plain,
    peers,
    training_step,
)
from benchmarks.table import Table
from benchmarks.timing import compare

#: For each architecture images in a batch, embedding_dim, highest ratio of a training step to plain's.
CASES = {
    "vgg-block3": (128, 16, 1.05),
    "vgg-block2": (128, 16, 1.05),
    "mnist-cnn": (1000, 4, 1.02),
    "vgg-block1": (128, 16, 1.05),
}


def tables(name: str, pairs: int) -> list[Table]:
    batch, embedding_dim, target = CASES[name]
    architecture = make_architecture(name)
    images = torch.randn(batch, *architecture.input_shape, device=DEVICE)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, architecture.num_outputs, (batch,), device=DEVICE)
    plain, phenotype = make_plain(architecture), make_phenotype(architecture, embedding_dim)
    others, absent = peers(phenotype, embedding_dim)
    networks = {"plain": plain, "genophen": phenotype}
    by_others = {n: Generated(make_plain(architecture), generator) for n, generator in others.items()}
    few = max(1, pairs // 10)  # the others are further away
    title = f"{name}, batch {batch}, embedding_dim {embedding_dim}"
    train = {n: training_step(network, images, labels) for n, network in {**networks, **by_others}.items()}
    result = [
        Table(
            f"training step: {title}",
            compare({n: train[n] for n in networks}, "plain", pairs),
            at_most={"genophen": target},
        ),
        Table(
            f"training step, beside others: {title}",
            compare({n: step for n, step in train.items() if n != "plain"}, "genophen", few),
            notes=absent,
        ),
    ]
    evaluate = {n: evaluation_step(network, images) for n, network in networks.items()}
    rows = compare(evaluate, "plain", pairs)
    return [*result, Table(f"evaluation step: {title}", rows, at_most={"genophen": 1.02})]

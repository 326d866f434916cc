"""Weights alone: the 31 basic kernels of VGG-Block3, written forward, and forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.networks import make_architecture, make_phenotype, peers
from benchmarks.table import Table
from benchmarks.timing import compare


def contestants(
    embedding_dim: int = 16,
) -> tuple[dict[str, Callable[[], dict[str, torch.Tensor]]], list[str]]:
    """What writes weights of the same shapes; `genophen` and the block loop write equal ones."""
    phenotype = make_phenotype(make_architecture("vgg-block3"), embedding_dim)
    others, absent = peers(phenotype, embedding_dim)
    weights = {target.name for target in phenotype.targets.values() if not target.is_bias}

    def express() -> dict[str, torch.Tensor]:
        return {name: w for name, w in phenotype.genotype.express().items() if name in weights}

    return {"genophen": express, **others}, absent


def tables(pairs: int) -> list[Table]:
    found, absent = contestants()
    least = {name: 3.0 if name == "block loop" else 1.0 for name in found if name != "genophen"}

    def forward(generate: Callable[[], dict[str, torch.Tensor]]) -> Callable[[], object]:
        def call() -> None:
            with torch.no_grad():
                generate()

        return call

    def both(generate: Callable[[], dict[str, torch.Tensor]]) -> Callable[[], object]:
        gradients = {name: torch.randn_like(weight) for name, weight in generate().items()}

        def call() -> None:
            written = generate()
            if isinstance(generate, nn.Module):
                generate.zero_grad()
            torch.autograd.backward(list(written.values()), [gradients[name] for name in written])

        return call

    note = "genophen and the block loop also standardise; the peers write kernels as generated."
    return [
        Table(
            f"31 basic kernels, {title}",
            compare({name: wrap(generate) for name, generate in found.items()}, "genophen", pairs),
            at_least=least,
            notes=[note, *absent],
        )
        for title, wrap in (("forward", forward), ("forward and backward", both))
    ]

"""Weights alone: the 31 basic kernels of VGG-Block3, written forward, and forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.networks import Generate, make_architecture, make_phenotype, peers
from benchmarks.table import Table
from benchmarks.timing import compare


def contestants(standardized: bool, embedding_dim: int = 16) -> tuple[dict[str, Generate], list[str]]:
    """What writes weights of the same shapes, `genophen` and the block loop equal ones; and who is absent.

    Peers write kernels as generated: they are left out where ours are standardised.
    """
    phenotype = make_phenotype(make_architecture("vgg-block3"), embedding_dim)
    phenotype.genotype.standardized = standardized
    others, absent = peers(phenotype, embedding_dim)
    if standardized:
        others, absent = {"block loop": others["block loop"]}, []
    weights = {target.name for target in phenotype.targets.values() if not target.is_bias}

    def express() -> dict[str, torch.Tensor]:
        return {name: w for name, w in phenotype.genotype.express().items() if name in weights}

    return {"genophen": express, **others}, absent


def tables(pairs: int) -> list[Table]:
    def forward(generate: Generate) -> Callable[[], object]:
        def call() -> None:
            with torch.no_grad():
                generate()

        return call

    def both(generate: Generate) -> Callable[[], object]:
        gradients = {name: torch.randn_like(weight) for name, weight in generate().items()}

        def call() -> None:
            written = generate()
            if isinstance(generate, nn.Module):
                generate.zero_grad()
            torch.autograd.backward(list(written.values()), [gradients[name] for name in written])

        return call

    result = []
    for standardized in (True, False):
        found, absent = contestants(standardized)
        least = {name: 3.0 if name == "block loop" else 1.0 for name in found if name != "genophen"}
        for way, wrap in (("forward", forward), ("forward and backward", both)):
            title = f"31 basic kernels, {'standardised' if standardized else 'as generated'}, {way}"
            rows = compare({name: wrap(generate) for name, generate in found.items()}, "genophen", pairs)
            result.append(Table(title, rows, at_least=least, notes=absent))
    return result

"""How well fitnesses of solved readouts agree between draws of images: python results/fitness_agreement.py

Candidates around the start of `examples/mnist_evolution.toml`, at several widths, are judged on three draws
of training images; printed is the mean correlation of their fitnesses between draws. 1: the ranking is the
candidates' own; 0: it is that of the images drawn. Needs MNIST below GENOPHEN_DATA.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from genophen_plugins.optimizers.evolution.fitness import MEASURES, judge
from genophen_plugins.optimizers.evolution.readout import cross_validate, find_readout
from genophen_plugins.optimizers.evolution.strategies import scales
from torch import Tensor

import genophen
from genophen.config.config import resolve_config
from genophen.config.toml import read_toml
from genophen.plugins.loading import load_plugins
from genophen.training.experiment import assemble

EXAMPLE = Path(__file__).parent.parent / "examples" / "mnist_evolution.toml"
CANDIDATES, DRAWS, FOLDS, PENALTY = 16, 3, 4, 30.0
AT_ONCE = 4  # the features of so many candidates are held together
WIDTHS, SIZES = (0.05, 0.15, 0.5), (4000, 8000, 16000)


def main() -> None:
    measure_at = measurer()
    print("| width | images | " + " | ".join(MEASURES) + " |")
    print("|---" * (2 + len(MEASURES)) + "|")
    for width in WIDTHS:
        fitnesses: dict[tuple[int, str], list[Tensor]] = defaultdict(list)
        for draw in range(DRAWS):
            for key, values in measure_at(width, draw).items():
                fitnesses[key].append(values)
        for size in SIZES:
            agreed = [f"{agreement(fitnesses[size, name]):.2f}" for name in MEASURES]
            print(f"| {width} | {size:,} | " + " | ".join(agreed) + " |", flush=True)


def measurer() -> Any:
    """A function of a width and a draw that gives fitnesses (P,) by number of images and measure."""
    plugins = load_plugins()
    config = resolve_config(read_toml(EXAMPLE), plugins, str(EXAMPLE))
    experiment = assemble(config, plugins, lambda _: None)
    phenotype, train = experiment.phenotype, experiment.batches("train")
    readout = find_readout(phenotype, None, train.take(torch.arange(2))[0])
    genes = phenotype.genes("genotype")
    population = genophen.Population(phenotype, genes, precision=torch.bfloat16)
    start = population.center()
    units = scales(start, [gene.numel() for gene in population.genes.values()])
    noise = torch.randn(CANDIDATES, len(start), generator=torch.Generator().manual_seed(0))

    def measure_at(width: float, draw: int) -> dict[tuple[int, str], Tensor]:
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(draw))
        images, labels = train.take(order[: max(SIZES)])
        found = defaultdict(list)
        for some in (start + units * width * noise).split(AT_ONCE):
            for features in population.features(some, images, readout):
                for size in SIZES:
                    theirs = labels[:size]
                    outputs = cross_validate(features[:size], theirs, 10, FOLDS, PENALTY)
                    for name in MEASURES:
                        found[size, name].append(judge(outputs, theirs, name))
        return {key: torch.stack(values) for key, values in found.items()}

    return measure_at


def agreement(fitnesses: list[Tensor]) -> float:
    """The mean correlation between the draws."""
    table = torch.corrcoef(torch.stack(fitnesses))
    return float((table.sum() - DRAWS) / (DRAWS * (DRAWS - 1)))


if __name__ == "__main__":
    main()

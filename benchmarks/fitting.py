"""How much of a network's weights a hypernetwork can write: `python -m benchmarks.fitting 8 32 128`.

`genophen.fit` to the convolutions of torchvision's resnet18 with random weights, for each N_z. Random weights
are the hardest that there are: nothing in them repeats.
"""

from __future__ import annotations

import sys
import time

import torch
import torchvision

import genophen

STEPS = 400
PATTERNS = ["*conv*.weight", "*downsample.0.weight"]


def main() -> None:
    explained: dict[int, dict[str, float]] = {}
    for n_z in map(int, sys.argv[1:] or ("8", "32", "128")):
        torch.manual_seed(0)
        network = torchvision.models.resnet18(weights=None)
        phenotype = genophen.compile(network, PATTERNS, embedding_dim=n_z, normalization="none")
        begun = time.perf_counter()
        explained[n_z] = genophen.fit(phenotype, steps=STEPS)
        sizes = {name: target.initial.numel() for name, target in phenotype.targets.items()}
        total = sum(size * explained[n_z][name] for name, size in sizes.items()) / sum(sizes.values())
        explained[n_z]["all"] = total
        share = phenotype.parameter_counts().kernel / sum(sizes.values())
        print(
            f"N_z {n_z}: {share:.1%} as many numbers as weights, {total:.1%} of the variance explained, "
            f"{STEPS} steps in {time.perf_counter() - begun:.0f} s",
            flush=True,
        )
    print("\n| target | " + " | ".join(f"N_z = {n_z}" for n_z in explained) + " |")
    print("|---|" + "---|" * len(explained))
    for name in next(iter(explained.values())):
        print(f"| `{name}` | " + " | ".join(f"{of[name]:.1%}" for of in explained.values()) + " |")


if __name__ == "__main__":
    main()

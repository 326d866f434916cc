"""Time a candidate on the networks that people bring: `Population` beside one candidate after the other.

torchvision's networks and a vision transformer of 6 layers under a hypernetwork with N_z = 16, images of
32x32. The loop writes each candidate into the same phenotype, which then runs on the images. It is timed on
the first candidates, since it needs the same time for each. A recurrent policy (Elman's, 32 hidden units, 256
weight sets on 32 episodes each, whose inputs are each one's own) runs through `Networks` beside a loop over
the sets, all episodes of each together or one after the other.

Images are random: what is measured is time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models.vision_transformer import VisionTransformer

import genophen
from benchmarks.networks import DEVICE
from benchmarks.population import LOOPED, measure
from benchmarks.table import Table
from benchmarks.timing import against

#: For each network how it is built and which of its parameters the genotype writes.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[str, Tensor], bool]]] = {
    "resnet18": (torchvision.models.resnet18, lambda _, weight: weight.dim() == 4),
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, lambda _, weight: weight.dim() == 4),
    "vision transformer": (
        lambda: VisionTransformer(32, 4, 6, 4, 192, 768, num_classes=10),
        lambda name, weight: ".mlp." in name and weight.dim() == 2,
    ),
}
POPULATIONS, IMAGES = (2, 8, 64), (1, 64)
#: What varies: all embeddings, those of the last expressed layer alone, or all that the genotype has.
SCOPES = ("embeddings", "last layer", "genotype")
#: How many times genophen's time the loop is to take at the least.
AIM, POLICY_AIM = 1.0, 20.0
SETS, EPISODES, STEPS = 256, 32, 20


def tables(
    repetitions: int,
    populations: Sequence[int] = POPULATIONS,
    images: Sequence[int] = IMAGES,
    networks: Sequence[str] = tuple(NETWORKS),
) -> list[Table]:
    cases = itertools.product(networks, SCOPES, populations, images)
    return [*(_table(*case, repetitions) for case in cases), _policy_table(repetitions)]


def quick_tables(repetitions: int) -> list[Table]:
    """8 candidates alone, of two of the networks."""
    return tables(repetitions, (8,), IMAGES, ("resnet18", "mobilenet_v3_small"))


def _table(network: str, scope: str, count: int, images: int, repetitions: int) -> Table:
    seconds = measure(contestants(network, scope, count, images), repetitions)
    rows = [against(name, values, seconds["genophen"]) for name, values in seconds.items()]
    title = f"a candidate of {count}, {images} images of 32x32, {network}, N_z = 16: {scope} vary"
    return Table(title, rows, at_least={"loop": AIM})


def contestants(network: str, scope: str, count: int, images: int) -> dict[str, Callable[[], Tensor]]:
    """For each contestant a function that gives logits (P, N, classes); the loop's are of the first."""
    phenotype = make_phenotype(network)
    population = genophen.Population(phenotype, phenotype.genes(_SCOPE_OF.get(scope, scope)))
    center = population.center()
    change = 0.1 * torch.randn(count, len(center), device=DEVICE)
    if scope == "last layer":
        change[:, :-16] = 0  # all but the last embedding
    candidates, x = center + change, torch.randn(images, 3, 32, 32, device=DEVICE)

    def loop() -> Tensor:
        logits = []
        for candidate in candidates[:LOOPED]:
            population.assign(candidate)
            logits.append(phenotype(x))
        return torch.stack(logits)

    return {"genophen": lambda: population.logits(candidates, x), "loop": loop}


_SCOPE_OF: dict[str, Any] = {"last layer": "embeddings"}


def make_phenotype(name: str) -> genophen.Phenotype:
    torch.manual_seed(0)
    build, expressed = NETWORKS[name]
    network = build()
    names = [n for n, parameter in network.named_parameters() if expressed(n, parameter)]
    return genophen.compile(network, names, embedding_dim=16).to(DEVICE).eval()


class Policy(nn.Module):
    """Elman's network: (x, state) to (y, state)."""

    def __init__(self, inputs: int = 6, hidden: int = 32) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(inputs + hidden, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.tanh(self.hidden(torch.cat([x, state], 1)))
        return self.out(state), state


def policy_contestants(count: int = SETS) -> dict[str, Callable[[], Tensor]]:
    """For each contestant a function that gives the outputs after all steps, (P, N, 1)."""
    policy = Policy().to(DEVICE).eval()
    # Small enough that no rounding grows from step to step.
    weights = {n: 0.1 * torch.randn(count, *p.shape, device=DEVICE) for n, p in policy.named_parameters()}
    networks = genophen.Networks(policy, weights)
    x, start = torch.randn(STEPS, count, EPISODES, 6), torch.zeros(count, EPISODES, 32)
    x, start = x.to(DEVICE), start.to(DEVICE)

    def together() -> Tensor:
        state = start
        for step in x:
            outputs, state = networks(step, state, own=True)
        return outputs

    def loop(sets: int, at_a_time: int) -> Tensor:
        ends = []
        for p in range(min(count, sets)):
            own = {name: stack[p] for name, stack in weights.items()}
            for some in torch.arange(EPISODES).split(at_a_time):
                state = start[p, some]
                for step in x:
                    output, state = functional_call(policy, own, (step[p, some], state))
                ends.append(output)
        return torch.cat(ends).unflatten(0, (-1, EPISODES))

    return {
        "genophen": together,
        "loop": lambda: loop(LOOPED, EPISODES),
        "loop, an episode at a time": lambda: loop(2, 1),
    }


def _policy_table(repetitions: int) -> Table:
    seconds = measure(policy_contestants(), repetitions)
    rows = [against(name, values, seconds["genophen"]) for name, values in seconds.items()]
    title = f"a weight set of {SETS}, Elman's network of 32 units, {EPISODES} episodes of {STEPS} steps"
    return Table(title, rows, at_least={row.name: POLICY_AIM for row in rows[1:]})

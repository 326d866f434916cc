"""Time a candidate: a whole population at once, beside one candidate after the other.

MNIST network, Hyper4_4, batch of 1,000 images, forward passes and losses. All contestants see the same
images, in turn; the others are timed on the first 16 candidates, since they need the same time for each:

- genophen: `Population.losses`;
- loop: each candidate written into the same phenotype, which then runs on the batch;
- loop, prefix kept: the same, with what precedes the first expressed layer computed once for all (by hand);
- evotorch: a `SupervisedNE` problem, evotorch's own path for such networks;
- JAX: the network written in JAX, compiled, mapped over candidates with `vmap`, as evosax's users do.

Images are random: what is measured is time.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from benchmarks.memory import peak_of
from benchmarks.networks import INSTALL
from benchmarks.population_jax import jax_losses
from benchmarks.table import Table
from benchmarks.timing import against, clock
from genophen.plugins.loading import load_plugins
from genophen.population.population import BLOCK_BYTES

IMAGES = 1000
PREFIX, JAX = "loop, prefix kept", "evosax with JAX"
#: How many times genophen's time each contestant is to take at the least, by the genes that vary.
AIMS = {
    "embeddings": {"loop": 10.0, PREFIX: 1.0, "evotorch": 10.0, JAX: 1.0},
    "genotype": {"loop": 1.3, PREFIX: 1.3, "evotorch": 1.3, JAX: 1.0},
}
#: Candidates on which the contestants that loop are timed.
LOOPED = 16


class _Candidate(nn.Module):
    """A phenotype as evotorch wants it: its genes are its only parameters."""

    def __init__(self, phenotype: genophen.Phenotype, population: genophen.Population) -> None:
        super().__init__()
        self.genes = nn.Parameter(population.center())
        self._parts = (phenotype, population)  # in a tuple, so that it is no submodule

    def forward(self, images: Tensor) -> Tensor:
        phenotype, population = self._parts
        population.assign(self.genes)
        output: Tensor = phenotype(images)
        return output


def contestants(scope: str, count: int, images: int) -> dict[str, Callable[[], Tensor]]:
    """For each contestant a function that gives the losses (P,)."""
    phenotype = _phenotype()
    population = genophen.Population(phenotype, phenotype.genes(scope))  # type: ignore[arg-type]
    center = population.center()
    candidates = center + 0.1 * torch.randn(count, len(center))
    x = torch.randn(images, 1, 28, 28).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (images,))

    def loop() -> Tensor:
        losses = []
        for candidate in candidates:
            population.assign(candidate)
            losses.append(F.cross_entropy(phenotype(x), labels))
        return torch.stack(losses)

    def loop_prefix() -> Tensor:
        losses, network = [], phenotype.network
        prefix = network[:3](x)
        for candidate in candidates:
            population.assign(candidate)
            hidden = F.conv2d(prefix, phenotype.genotype.express()["conv2.weight"], padding=3)
            losses.append(F.cross_entropy(network[4:](hidden), labels))
        return torch.stack(losses)

    found = {
        "genophen": lambda: population.losses(candidates, x, labels),
        "loop": loop,
        PREFIX: loop_prefix,
        "evotorch": _evotorch(_Candidate(phenotype, population), candidates, x, labels),
    }
    with_jax = jax_losses(phenotype, population, candidates, x, labels)
    return found | ({JAX: with_jax} if with_jax else {})


def _phenotype() -> genophen.Phenotype:
    plugins = load_plugins()
    architecture = plugins.get("architecture", "mnist-cnn").cls()
    cls = plugins.get("genotype", "hypernetwork").cls
    options = cls.Options(embedding_dim=4, projection_dim=4)
    phenotype = genophen.compile_phenotype(architecture.build(), architecture.expressed(), cls, options)
    return phenotype.to(memory_format=torch.channels_last).eval()


def _evotorch(network: nn.Module, candidates: Tensor, x: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evotorch import SolutionBatch
        from evotorch.neuroevolution import SupervisedNE
    logging.getLogger("evotorch").setLevel(logging.WARNING)
    data = torch.utils.data.TensorDataset(x, labels)
    problem = SupervisedNE(data, network, nn.CrossEntropyLoss(), minibatch_size=len(x))

    def evaluate() -> Tensor:
        batch = SolutionBatch(problem, popsize=len(candidates), empty=True)
        batch.set_values(candidates)
        problem.evaluate(batch)
        return torch.as_tensor(batch.evals[:, 0].clone().as_subclass(Tensor))

    return evaluate


def tables(repetitions: int, count: int = 256) -> list[Table]:
    found = []
    for scope, aims in AIMS.items():
        together, few = contestants(scope, count, IMAGES), contestants(scope, min(count, LOOPED), IMAGES)
        calls = {name: (together if name == "genophen" else few)[name] for name in together}
        seconds = measure(calls, repetitions)
        rows = [against(name, values, seconds["genophen"]) for name, values in seconds.items()]
        absent = [] if JAX in calls else [f"{JAX}: {INSTALL}"]
        title = f"a candidate of {count}, {IMAGES} images, mnist-cnn, Hyper4_4: {scope} vary"
        found.append(Table(title, rows, at_least=aims, notes=absent))
    peaks = {f"{mb} MiB a block": peak_memory(mb, count) for mb in (BLOCK_BYTES // 2**20, 256)}
    notes = [
        f"peak memory of {count} candidates, above that of one, {name}: {peak:.0f} MiB"
        for name, peak in peaks.items()
    ]
    found[-1].notes = [*found[-1].notes, *notes]
    return found


def measure(calls: Mapping[str, Callable[[], Tensor]], repetitions: int) -> dict[str, list[float]]:
    """Seconds a candidate, one number a repetition, in turn, after one of warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repetition in range(repetitions + 1):
        for name, evaluate in calls.items():
            started = clock()
            with torch.no_grad():
                losses = evaluate()
            if repetition:
                seconds[name].append((clock() - started) / len(losses))
    return seconds


def peak_memory(block_mb: int, count: int) -> float:
    """MiB that `count` candidates take above one, each in a process of its own."""
    module = "benchmarks.population"
    return peak_of(module, "hold", block_mb, count) - peak_of(module, "hold", block_mb, 1)


def hold(block_mb: int, count: int) -> None:
    """Evaluate `count` candidates, whose memory is measured from outside."""
    phenotype = _phenotype()
    population = genophen.Population(phenotype, phenotype.genes("genotype"), block_bytes=block_mb * 2**20)
    images, labels = torch.randn(IMAGES, 1, 28, 28), torch.randint(0, 10, (IMAGES,))
    candidates = population.center() + 0.1 * torch.randn(count, population.num_genes)
    population.losses(candidates, images, labels)

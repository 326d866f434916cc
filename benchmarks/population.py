"""Candidate evaluations per second: a whole population at once, beside one candidate after the other.

    python -m benchmarks.population [candidates]

MNIST network, Hyper4_4, batch of 1,000 images, forward passes and losses. All contestants see the same
images, in turn; those that take one candidate after the other are timed on the first 32, since they need the
same time for each. The ratio is the median over the repetitions:

- genophen: `Population.losses`;
- loop: each candidate written into the same phenotype, which then runs on the batch;
- loop, prefix kept: the same, with what precedes the first expressed layer computed once for all (by hand);
- evotorch: a `SupervisedNE` problem, evotorch's own path for such networks.

Images are random: what is measured is time. A floor beside these figures: the time to write and read
once, in main memory, the response of each candidate's expressed layer.
"""

from __future__ import annotations

import logging
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen.environment import machine, package_versions
from genophen.plugins import load_plugins
from genophen.population import BLOCK_BYTES

IMAGES = 1000
REPETITIONS = 3
#: Candidates on which the contestants that loop are timed.
LOOPED = 32


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

    return {
        "genophen": lambda: population.losses(candidates, x, labels),
        "loop": loop,
        "loop, prefix kept": loop_prefix,
        "evotorch": _evotorch(_Candidate(phenotype, population), candidates, x, labels),
    }


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


def measure(scope: str, count: int) -> dict[str, list[float]]:
    """Seconds a candidate of each contestant, one number a repetition, after one of warming up."""
    together, looped = contestants(scope, count, IMAGES), contestants(scope, min(count, LOOPED), IMAGES)
    runs = {name: (together if name == "genophen" else looped)[name] for name in together}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPETITIONS + 1):
        for name, evaluate in runs.items():
            started = time.perf_counter()
            with torch.no_grad():
                losses = evaluate()
            seconds[name].append((time.perf_counter() - started) / len(losses))
    return {name: values[1:] for name, values in seconds.items()}


def bandwidth_floor() -> float:
    """Seconds a candidate to write and read its responses (N, 16, 14, 14) once."""
    response = torch.zeros(IMAGES, 16, 14, 14)
    copy = torch.empty_like(response)
    copy.copy_(response)
    started = time.perf_counter()
    for _ in range(20):
        copy.copy_(response)
    return (time.perf_counter() - started) / 20


def peak_memory(block_mb: int, count: int) -> float:
    """MiB that an evaluation takes above what the process has before it, in a process of its own."""
    code = f"from benchmarks.population import print_peak; print_peak({block_mb}, {count})"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


def print_peak(block_mb: int, count: int) -> None:
    phenotype = _phenotype()
    population = genophen.Population(phenotype, phenotype.genes("genotype"), block_bytes=block_mb * 2**20)
    images, labels = torch.randn(IMAGES, 1, 28, 28), torch.randint(0, 10, (IMAGES,))
    population.losses(population.center().repeat(2, 1), images[:4], labels[:4])
    candidates = population.center() + 0.1 * torch.randn(count, population.num_genes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    population.losses(candidates, images, labels)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 256
    about = machine(torch.device("cpu"))
    print(f"{about['processor']}, {about['threads']} threads, torch {package_versions()['torch']}")
    print(f"mnist-cnn, Hyper4_4, {count} candidates, {IMAGES} images, {REPETITIONS} repetitions in turn")
    print(f"{'genes':<11} {'contestant':<18} {'evaluations a second':>21} {'genophen is faster':>19}")
    for scope in ("embeddings", "genotype"):
        seconds = measure(scope, count)
        for name, values in seconds.items():
            ratio = statistics.median(v / ours for v, ours in zip(values, seconds["genophen"], strict=True))
            print(f"{scope:<11} {name:<18} {1 / statistics.median(values):>21.1f} {ratio:>18.2f}x")
    print(f"bandwidth floor: {1 / bandwidth_floor():.0f} evaluations a second")
    for block_mb in (BLOCK_BYTES // 2**20, 256):
        print(
            f"peak memory at {block_mb} MiB a block: {peak_memory(block_mb, count):.0f} MiB above the start"
        )


if __name__ == "__main__":
    main()

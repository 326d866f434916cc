"""Another checkout of genophen beside this one: python -m benchmarks.beside CHECKOUT [--pairs N] [CASE...].

Each checkout runs in a process of its own, by its own `.venv` and its own benchmarks, and takes turns with
the other; ratios are of this checkout's processor time, one thread, to the other's. Where a process's memory
comes to lie changes its times by some percent: so turns are shared out among several pairs of processes.

`--instructions` counts by valgrind instead, which takes minutes a case: it sees no cache and no wait, but the
same count comes out each time, whatever else the machine does. Batches and populations are smaller then, so
that what genophen adds to a network's own work, which does not grow with them, shows more.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.table import Table
from benchmarks.timing import against

#: What a process does: names of cases come in, one a line, and seconds of processor time go out.
WORKER = """
import sys, time, torch
share = int(sys.argv[1])
from benchmarks import networks, population, training_step
torch.set_num_threads(1)

def step(name):
    batch, embedding_dim, _ = training_step.CASES[name]
    batch //= share
    architecture = networks.make_architecture(name)
    images = torch.randn(batch, *architecture.input_shape).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,))
    return networks.training_step(networks.make_phenotype(architecture, embedding_dim), images, labels)

def case(name):
    kind, _, rest = name.partition(":")
    if kind == "step":
        return step(rest)
    return population.contestants(rest, 64 // share, 1000 // share)["genophen"]

calls = {}
for line in sys.stdin:
    name = line.strip()
    if name not in calls:
        torch.manual_seed(0)
        calls[name] = case(name)
        calls[name]()
    started = time.process_time()
    calls[name]()
    print(time.process_time() - started, flush=True)
"""
ROOT = Path(__file__).parents[1]
CASES = ["step:vgg-block3", "step:vgg-block2", "step:vgg-block1", "step:mnist-cnn"]
CASES += ["population:embeddings", "population:genotype"]


#: Pairs of processes, one after the other.
PROCESSES = 6
#: Where instructions are counted: how often a case is computed, in two processes; the difference counts.
FEW, MORE = 2, 5
SMALLER = 16
COUNTED = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]


class Checkout:
    """A process that computes cases in a checkout."""

    def __init__(self, folder: Path, python: str) -> None:
        command = [python, "-c", WORKER, "1"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True)

    def seconds(self, case: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(case + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("checkout", type=Path, help="folder of the other checkout, set up by `make setup`")
    parser.add_argument(
        "cases", nargs="*", default=CASES, metavar="CASE", help=f"of {', '.join(CASES)} (all)"
    )
    parser.add_argument("--pairs", type=int, default=40, help="turns of each case (40)")
    parser.add_argument("--instructions", action="store_true", help="count instructions, by valgrind")
    given = parser.parse_intermixed_args()
    python = str((given.checkout / ".venv/bin/python").absolute())
    if given.instructions:
        for case in given.cases:
            theirs = instructions(given.checkout, python, case)
            ours = instructions(ROOT, sys.executable, case)
            print(
                f"{case}: {theirs:,.0f} instructions in the other checkout, {ours:,.0f} in this, "
                f"{ours / theirs:.4f} times as many",
                flush=True,
            )
        return
    seconds: dict[str, list[tuple[float, float]]] = {case: [] for case in given.cases}
    for _ in range(PROCESSES):
        other = Checkout(given.checkout, python)
        with other, Checkout(ROOT, sys.executable) as own:
            for case in seconds:
                turns = [_pair(own, other, case, turn) for turn in range(3 + -(-given.pairs // PROCESSES))]
                seconds[case] += turns[3:]
    for case, pairs in seconds.items():
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        rows = [against("other checkout", theirs, theirs), against("this checkout", ours, theirs)]
        print(Table(case, rows).text(), flush=True)


def instructions(folder: Path, python: str, case: str) -> float:
    """Instructions that computing a case once takes in a checkout."""
    counts = []
    for times in (FEW, MORE):
        done = subprocess.run(
            [*COUNTED, python, "-c", WORKER, str(SMALLER)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
            input=f"{case}\n" * times,
            capture_output=True,
            text=True,
            check=True,
        )
        (found,) = re.findall(r"I\s+refs:\s+([\d,]+)", done.stderr)
        counts.append(int(found.replace(",", "")))
    return (counts[1] - counts[0]) / (MORE - FEW)


def _pair(own: Checkout, other: Checkout, case: str, turn: int) -> tuple[float, float]:
    """Seconds of both, in an order that changes from turn to turn."""
    if turn % 2:
        return own.seconds(case), other.seconds(case)
    theirs = other.seconds(case)
    return own.seconds(case), theirs


if __name__ == "__main__":
    main()

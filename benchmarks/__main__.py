"""Every benchmark, or some: python -m benchmarks [SECTION...] [--pairs N] [--out DIR] [--peers DIR]."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks import (
    control,
    floor,
    generation,
    graphs,
    growth,
    population,
    population_networks,
    recurrent,
    startup,
    training_round,
    training_step,
)
from benchmarks.table import Table, describe_machine, save
from benchmarks.timing import use_processor_time

#: For each section what makes its tables, and the pairs (repetitions) it takes unless told.
SECTIONS: dict[str, tuple[Callable[[int], list[Table]], int]] = {
    "generation": (generation.tables, 300),
    "data": (training_round.data_tables, 30),
    "startup": (startup.tables, 7),
    **{f"step-{name}": (partial(training_step.tables, name), 200) for name in training_step.CASES},
    "floor": (floor.tables, 20),
    "population": (population.tables, 6),
    "networks": (population_networks.tables, 30),
    "networks-quick": (population_networks.quick_tables, 9),
    "round": (training_round.tables, 12),
    "growth": (growth.tables, 20),
    "recurrent": (recurrent.tables, 12),
    "control": (control.tables, 9),
    "graphs": (graphs.tables, 6),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)} (all)")
    parser.add_argument("--pairs", type=int, help="pairs of each comparison (a number for each section)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the results")
    parser.add_argument("--peers", action="append", default=[], help="folder that peers are installed in")
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="'cpu': this process's own processor time, with one thread: for a machine in other use",
    )
    given = parser.parse_args()
    if given.clock == "cpu":
        torch.set_num_threads(1)
        use_processor_time()
    if unknown := [name for name in given.sections if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    sys.path += given.peers  # at the end: they are to replace nothing
    warnings.simplefilter("ignore")  # the peers'
    for name in given.sections or [name for name in SECTIONS if name != "networks-quick"]:
        make, pairs = SECTIONS[name]
        about, started = describe_machine() | {"clock": given.clock}, time.perf_counter()
        print(f"== {name}: {about}", flush=True)
        tables = make(given.pairs or pairs)
        for table in tables:
            print(table.text(), flush=True)
        save(name, tables, about, given.out)
        print(f"({time.perf_counter() - started:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()

"""Start-up times, each in a process of its own, and the peak memory of training steps."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.memory import ROOT, peak_of
from benchmarks.table import Table
from benchmarks.timing import Comparison, against, command_seconds

ONE_STEP = "run examples/digits.toml --set training.rounds=1 --set training.batch_size=1197 --out"
COMMANDS = {
    "genophen --help": ["--help"],
    "genophen params": ["params", "examples/mnist.toml"],
    "genophen run, one step": ONE_STEP.split(),
}
#: Seconds allowed.
LIMITS = {"genophen --help": 0.3, "genophen params": 3.0}


def tables(repetitions: int) -> list[Table]:
    seconds: dict[str, list[float]] = {"python": [], **{name: [] for name in COMMANDS}}
    for _ in range(repetitions):
        seconds["python"].append(command_seconds([sys.executable, "-c", "pass"], ROOT))
        for name, arguments in COMMANDS.items():
            with tempfile.TemporaryDirectory() as folder:
                out = [str(Path(folder) / "run")] if arguments[-1] == "--out" else []
                command = [sys.executable, "-m", "genophen", *arguments, *out]
                seconds[name].append(command_seconds(command, ROOT))
    rows = [against(name, values, seconds["python"]) for name, values in seconds.items()]
    notes = [_limit_note(row) for row in rows if row.name in LIMITS]
    return [Table("start-up", rows, notes=notes), _memory()]


def _limit_note(row: Comparison) -> str:
    limit = LIMITS[row.name]
    return (
        f"{row.name}: {row.seconds:.2f} s, under {limit:g} s: {'met' if row.seconds < limit else 'missed'}."
    )


def _memory() -> Table:
    """Peak memory of processes that take training steps."""
    notes = []
    for name, batch in (("mnist-cnn", 1000), ("vgg-block3", 128)):
        plain, ours = (_memory_of_steps(name, batch, kind) for kind in ("plain", "genophen"))
        notes.append(
            f"peak memory of three training steps of {name} at batch {batch}, above that of batches of 2: "
            f"plain {plain:.0f} MiB, genophen {ours:.0f} MiB"
        )
    return Table("peak memory", [], notes=notes)


def _memory_of_steps(name: str, batch: int, kind: str) -> float:
    few, many = (peak_of("benchmarks.startup", "take_steps", name, count, kind) for count in (2, batch))
    return many - few


def take_steps(name: str, batch: int, kind: str) -> None:
    """Three training steps of a network, `plain` or `genophen`, whose memory is measured from outside."""
    from benchmarks.networks import make_architecture, make_phenotype, make_plain, training_step

    architecture = make_architecture(name)
    network = make_plain(architecture) if kind == "plain" else make_phenotype(architecture, 16)
    images = torch.randn(batch, *architecture.input_shape).to(memory_format=torch.channels_last)
    step = training_step(network, images, torch.zeros(batch, dtype=torch.int64))
    for _ in range(3):
        step()

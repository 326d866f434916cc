"""Start-up times, each in a process of its own, and the peak memory of training steps."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.table import Table
from benchmarks.timing import Comparison, against, command_seconds

ROOT = Path(__file__).parent.parent
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
        start, plain, ours = (_peak(name, batch, kind) for kind in ("start", "plain", "genophen"))
        notes.append(
            f"peak memory above the start, three training steps of {name} at batch {batch}: "
            f"plain {plain - start:.0f} MiB, genophen {ours - start:.0f} MiB"
        )
    return Table("peak memory", [], notes=notes)


def _peak(name: str, batch: int, kind: str) -> float:
    """MiB at the most, of a process of its own."""
    code = f"from benchmarks.startup import print_peak; print_peak({name!r}, {batch}, {kind!r})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
    return float(done.stdout)


def print_peak(name: str, batch: int, kind: str) -> None:
    from benchmarks.networks import make_architecture, make_phenotype, make_plain, training_step

    architecture = make_architecture(name)
    network = make_plain(architecture) if kind == "plain" else make_phenotype(architecture, 16)
    count = 2 if kind == "start" else batch
    images = torch.randn(count, *architecture.input_shape).to(memory_format=torch.channels_last)
    step = training_step(network, images, torch.zeros(count, dtype=torch.int64))
    for _ in range(3):
        step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

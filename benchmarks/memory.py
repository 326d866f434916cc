"""Peak memory of what runs in a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


#: Processes that are measured for one number, their median: allocators differ from one to the next.
PROCESSES = 3


def peak_of(module: str, function: str, *arguments: object) -> float:
    """MiB that a process that calls `module`.`function` with these arguments holds at the most."""
    call = f"import {module} as module; module.{function}{tuple(arguments)!r}"
    code = f"{call}; from benchmarks.memory import peak; print(peak())"
    command = [sys.executable, "-c", code]
    return statistics.median(
        float(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
        for _ in range(PROCESSES)
    )


def peak() -> float:
    """MiB that this process held at the most."""
    # Not ru_maxrss: a process begins with that of the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024

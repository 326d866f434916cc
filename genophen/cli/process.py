"""What the command sets for its process before torch is imported: how threads wait, what memory is kept."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

#: How long OpenMP's threads stay awake while they wait for each other: rounds of a loop (GNU), milliseconds
#: (LLVM, Intel). Unbounded, two processes on the same cores keep each other from working.
BOUNDS = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
#: Whoever sets one of these has decided.
_DECIDED = ("OMP_WAIT_POLICY", *BOUNDS)
#: glibc's settings of `mallopt`, by number: freed memory that is kept, and the largest block that is kept.
_KEPT = {-1: 2**30, -3: 2**25}


def prepare_process() -> None:
    """Bound the spinning of waiting threads, and keep freed memory; the user's own environment goes before.

    A step takes and frees tens of megabytes of weights and gradients: given back to the system each time,
    they cost a fifth of a step of a small batch.
    """
    if not any(name in os.environ for name in _DECIDED):
        os.environ |= BOUNDS
    if not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        with suppress(OSError, AttributeError):  # not glibc
            mallopt = ctypes.CDLL(None).mallopt
            for setting, size in _KEPT.items():
                mallopt(setting, size)


def waiting() -> str:
    """How this process's threads wait, as environment variables."""
    found = {name: os.environ[name] for name in _DECIDED if name in os.environ}
    return ", ".join(f"{name}={value}" for name, value in found.items()) or "as the runtime's default"

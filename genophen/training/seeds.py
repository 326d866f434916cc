"""Independent seeds for the parts of a run, all from the run's one seed."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import torch


def derive_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose, below 2**63: the same for the same pair, unrelated for any other."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_global_generators(seed: int) -> None:
    """Seed what dropout and third-party code draw from: Python's, numpy's and torch's global generators."""
    derived = derive_seed(seed, "global")
    random.seed(derived)
    np.random.seed(derived % 2**32)
    torch.manual_seed(derived)


def global_generators() -> dict[str, Any]:
    """The states of the generators that `seed_global_generators` seeds."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.array(keys, np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_global_generators(state: dict[str, Any]) -> None:
    """Let the global generators go on from states that `global_generators` gave.

    Those of GPUs are passed over where there is another number of GPUs now.

    Raises:
        ValueError: and others, for states that are none.
    """
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    if keys.dtype != torch.int64 or bool(((keys < 0) | (keys >= 2**32)).any()):
        raise ValueError("numpy's generator has keys that are not whole numbers of 32 bits")
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])

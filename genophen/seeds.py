"""Independent seeds for the parts of a run, all from the run's one seed."""

from __future__ import annotations

import hashlib
import random

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

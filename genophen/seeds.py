"""Independent seeds for the parts of a run, all from the run's one seed."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose, below 2**63: the same for the same pair, unrelated for any other."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

"""Room on the disk, before a run that would run out of it begins."""

from __future__ import annotations

import shutil
from pathlib import Path

from genophen.errors import GenophenError
from genophen.phenotype.phenotype import Phenotype


def check_space(
    directory: Path,
    phenotype: Phenotype,
    state_bytes: int,
    rounds: int,
    *,
    samples: int = 0,
    replaceable: int = 0,
) -> None:
    """Raise a GenophenError where the disk has less room than the run may need.

    Args:
        directory: Of the run; where it is not there yet, its nearest folder that is tells the disk.
        phenotype: Its weights are saved, beside what is in each checkpoint.
        state_bytes: Of a checkpoint now.
        rounds: Each has a line of metrics.
        samples: Each has a number in a checkpoint, its place in the order of the round.
        replaceable: Bytes of a resumed run that are there already and make room for what replaces them.
    """
    weights = sum(tensor.nbytes for tensor in phenotype.state_dict().values())
    # Before the first step neither the best weights nor (as with Adam's) two moments need be there. Two
    # checkpoints are kept while the third is written; so it is with the best weights, one and one.
    one_checkpoint = state_bytes + 3 * weights + 8 * samples
    needed = 3 * one_checkpoint + 2 * weights + 1000 * rounds + 2**20
    there = next(folder for folder in (directory, *directory.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free + replaceable
    if free < needed:
        raise GenophenError(
            f"cannot train in {directory}",
            found=f"{free / 2**20:,.1f} MiB are free on its disk",
            allowed=f"about {needed / 2**20:,.1f} MiB, for checkpoints and metrics",
            next_step="make room, or choose a place on another disk: --out DIR",
        )

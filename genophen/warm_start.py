"""Weights of an earlier run, as a start for another one."""

from __future__ import annotations

from pathlib import Path

from genophen.errors import ConfigError
from genophen.phenotype import Phenotype
from genophen.rundir import RunDirectory


def load_weights(phenotype: Phenotype, directory: Path) -> None:
    """Put the best weights of the run in `directory` into a phenotype of the same shape.

    Raises:
        ConfigError: where there is no run, or one with other parameters.
        DamagedError: where its files have been changed.
    """
    tensors, _ = RunDirectory.open(directory).load_best()
    present = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in phenotype.state_dict().items()}
    different = sorted(
        name for name in present.keys() | wanted.keys() if present.get(name) != wanted.get(name)
    )
    if different:
        name = different[0]
        raise ConfigError(
            f"cannot start from the weights of {directory}",
            found=f"{name} has shape {present.get(name, 'none: it is not there')}"
            + (f" (and {len(different) - 1} more differ)" if len(different) > 1 else ""),
            allowed=f"{wanted.get(name, 'no such parameter')}",
            next_step="take a run of the same architecture, genotype and settings of both",
        )
    phenotype.load_state_dict(tensors)

"""The best weights of a run, in objects that are built again from its config."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torch import Tensor

from genophen.config.config import Config
from genophen.contracts.architecture import Architecture
from genophen.contracts.growing import GrowingGenotype
from genophen.errors import ConfigError
from genophen.phenotype.gene_names import GENOTYPE, STATISTICS
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.registry import Plugins
from genophen.storage.reading import UnreadableError, read_environment
from genophen.storage.rundir import RunDirectory, load_state
from genophen.training.experiment import Experiment, assemble, build_phenotype
from genophen.training.preparing import Notify


def best_phenotype(
    run: RunDirectory, config: Config, plugins: Plugins
) -> tuple[Architecture, Phenotype, int]:
    """Architecture and phenotype of a run at its best round, on the CPU in eval mode, and that round.

    Raises:
        DamagedError: for weights that are not as the run saved them.
    """
    tensors, values = run.load_best()
    architecture, phenotype = build_phenotype(config, plugins, _shapes(run))
    load_state(phenotype, _without_statistics(tensors), run.best)
    return architecture, phenotype.eval(), values["round"]


def _without_statistics(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A phenotype's own numbers alone."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(STATISTICS)}


def _shapes(run: RunDirectory) -> tuple[tuple[int, ...], int] | None:
    """Shape of an input and number of outputs as the run recorded them; None where it did not."""
    try:
        task = read_environment(run.environment)["task"]
        return tuple(task["input_shape"]), task["num_outputs"]
    except (UnreadableError, KeyError):
        return None


def best_experiment(
    run: RunDirectory, config: Config, plugins: Plugins, notify: Notify
) -> tuple[Experiment, int]:
    """A run's experiment, data and all, at its best round, and that round.

    Raises:
        DamagedError: for weights that are not as the run saved them.
        GenophenError: where the data cannot be had.
    """
    tensors, values = run.load_best()
    experiment = assemble(config, plugins, notify)
    load_state(experiment.phenotype, tensors, run.best)
    return experiment, values["round"]


def data_difference(run: RunDirectory, sha256: str) -> str:
    """Why data with this SHA-256 may not be what a run was trained on; empty where it is."""
    try:
        trained_on = read_environment(run.environment)["dataset"]["sha256"]
    except UnreadableError:
        return f"{run.environment} cannot be read: whether the data is the same is not known"
    if trained_on != sha256:
        return "The data set is not the one that this run was trained on (its SHA-256 differs)."
    return ""


def load_weights(phenotype: Phenotype, directory: Path, without: Collection[str] = ()) -> None:
    """Put the best weights of the run in `directory` into a phenotype of the same shape.

    Names in `without` are left as they are, and may have another shape there. A growing genotype takes over
    the run's structure, too.

    Raises:
        ConfigError: where there is no run, or one with other parameters.
        DamagedError: where its files have been changed.
    """
    tensors, _ = RunDirectory.open(directory).load_best()
    if isinstance(phenotype.genotype, GrowingGenotype):
        phenotype.genotype.restore_structure(tensors, GENOTYPE)
    own = phenotype.state_dict()
    tensors |= {name: own[name] for name in without}
    kept = {name: tensors.get(name, tensor) for name, tensor in own.items() if name.startswith(STATISTICS)}
    tensors = _without_statistics(tensors) | kept
    present = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in own.items()}
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

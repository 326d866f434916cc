"""The best weights of a run, in objects that are built again from its config."""

from __future__ import annotations

from genophen.architecture import Architecture
from genophen.config import Config
from genophen.experiment import Experiment, Notify, assemble, build_phenotype
from genophen.phenotype import Phenotype
from genophen.plugins import Plugins
from genophen.records import read_environment
from genophen.rundir import RunDirectory, load_state


def best_phenotype(
    run: RunDirectory, config: Config, plugins: Plugins
) -> tuple[Architecture, Phenotype, int]:
    """Architecture and phenotype of a run at its best round, on the CPU in eval mode, and that round.

    Raises:
        DamagedError: for weights that are not as the run saved them.
    """
    tensors, values = run.load_best()
    architecture, phenotype = build_phenotype(config, plugins)
    load_state(phenotype, tensors, run.best)
    return architecture, phenotype.eval(), values["round"]


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
    except (OSError, ValueError):
        return f"{run.environment} cannot be read: whether the data is the same is not known"
    if trained_on != sha256:
        return "The data set is not the one that this run was trained on (its SHA-256 differs)."
    return ""

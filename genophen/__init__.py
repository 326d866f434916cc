"""Indirect encodings of neural networks: a small genotype compiles to the phenotype, the main network.

The public names are handed out on first use, so that importing this package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from genophen.api import compile, resume, run
    from genophen.contracts.architecture import Architecture
    from genophen.contracts.dataset import Data, Dataset, Split
    from genophen.contracts.dynamic import CellSteps, DynamicGenotype, PerSample, Scaled, Written
    from genophen.contracts.executor import Executor, Job, Outcome, run_job
    from genophen.contracts.genotype import Genotype, Target, no_genes
    from genophen.contracts.growing import Drawing, GrowingGenotype
    from genophen.contracts.hookspecs import hookimpl
    from genophen.contracts.measure import Measure
    from genophen.contracts.optimizer import Context, Metrics, Optimizer
    from genophen.contracts.options import Options, PathOption
    from genophen.contracts.playback import Line, Playback
    from genophen.contracts.reporter import Reporter, RunInfo
    from genophen.contracts.sequences import SequenceData, Sequences, Text, symbol_vectors
    from genophen.contracts.task import Scores, Task, TaskContext
    from genophen.control.batch import Controllers
    from genophen.control.controllers import as_controllers, run_networks
    from genophen.control.episodes import Episodes
    from genophen.control.episodic import EpisodeOptions, EpisodicTask, SimulatedTask
    from genophen.control.world import ARRAYS, Arithmetic, Values, World, added, product
    from genophen.data.batches import TrainBatches
    from genophen.errors import (
        ConfigError,
        DamagedError,
        GenophenError,
        PluginError,
        Problem,
    )
    from genophen.phenotype.accounting import SampleCounter
    from genophen.phenotype.compiling import compile_phenotype
    from genophen.phenotype.expressing import ConvBiases, KernelOptions, kernel_gain, standardize
    from genophen.phenotype.fitting import fit
    from genophen.phenotype.phenotype import ParameterCounts, Phenotype
    from genophen.phenotype.through_time import detached, each_tensor, scan
    from genophen.population.networks import Networks
    from genophen.population.population import Population
    from genophen.runs import Run
    from genophen.storage.files import open_file
    from genophen.storage.installed import install_command
    from genophen.training.trained import load_weights

_MODULE_OF = {
    "ARRAYS": "control.world",
    "Architecture": "contracts.architecture",
    "Arithmetic": "control.world",
    "CellSteps": "contracts.dynamic",
    "ConfigError": "errors",
    "Context": "contracts.optimizer",
    "Controllers": "control.batch",
    "ConvBiases": "phenotype.expressing",
    "DamagedError": "errors",
    "Data": "contracts.dataset",
    "Dataset": "contracts.dataset",
    "Drawing": "contracts.growing",
    "DynamicGenotype": "contracts.dynamic",
    "EpisodeOptions": "control.episodic",
    "Episodes": "control.episodes",
    "EpisodicTask": "control.episodic",
    "Executor": "contracts.executor",
    "GenophenError": "errors",
    "Genotype": "contracts.genotype",
    "GrowingGenotype": "contracts.growing",
    "Job": "contracts.executor",
    "KernelOptions": "phenotype.expressing",
    "Line": "contracts.playback",
    "Measure": "contracts.measure",
    "Metrics": "contracts.optimizer",
    "Networks": "population.networks",
    "Optimizer": "contracts.optimizer",
    "Options": "contracts.options",
    "Outcome": "contracts.executor",
    "ParameterCounts": "phenotype.phenotype",
    "PathOption": "contracts.options",
    "PerSample": "contracts.dynamic",
    "Phenotype": "phenotype.phenotype",
    "Playback": "contracts.playback",
    "PluginError": "errors",
    "Population": "population.population",
    "Problem": "errors",
    "Reporter": "contracts.reporter",
    "Run": "runs",
    "RunInfo": "contracts.reporter",
    "SampleCounter": "phenotype.accounting",
    "Scaled": "contracts.dynamic",
    "Scores": "contracts.task",
    "SequenceData": "contracts.sequences",
    "Sequences": "contracts.sequences",
    "SimulatedTask": "control.episodic",
    "Split": "contracts.dataset",
    "Target": "contracts.genotype",
    "Task": "contracts.task",
    "TaskContext": "contracts.task",
    "Text": "contracts.sequences",
    "TrainBatches": "data.batches",
    "Values": "control.world",
    "World": "control.world",
    "Written": "contracts.dynamic",
    "added": "control.world",
    "as_controllers": "control.controllers",
    "compile": "api",
    "compile_phenotype": "phenotype.compiling",
    "detached": "phenotype.through_time",
    "each_tensor": "phenotype.through_time",
    "fit": "phenotype.fitting",
    "hookimpl": "contracts.hookspecs",
    "kernel_gain": "phenotype.expressing",
    "install_command": "storage.installed",
    "load_weights": "training.trained",
    "no_genes": "contracts.genotype",
    "open_file": "storage.files",
    "product": "control.world",
    "resume": "api",
    "run": "api",
    "run_job": "contracts.executor",
    "run_networks": "control.controllers",
    "scan": "phenotype.through_time",
    "standardize": "phenotype.expressing",
    "symbol_vectors": "contracts.sequences",
}

__all__ = [
    "ARRAYS",
    "Architecture",
    "Arithmetic",
    "CellSteps",
    "ConfigError",
    "Context",
    "Controllers",
    "ConvBiases",
    "DamagedError",
    "Data",
    "Dataset",
    "Drawing",
    "DynamicGenotype",
    "EpisodeOptions",
    "Episodes",
    "EpisodicTask",
    "Executor",
    "GenophenError",
    "Genotype",
    "GrowingGenotype",
    "Job",
    "KernelOptions",
    "Line",
    "Measure",
    "Metrics",
    "Networks",
    "Optimizer",
    "Options",
    "Outcome",
    "ParameterCounts",
    "PathOption",
    "PerSample",
    "Phenotype",
    "Playback",
    "PluginError",
    "Population",
    "Problem",
    "Reporter",
    "Run",
    "RunInfo",
    "SampleCounter",
    "Scaled",
    "Scores",
    "SequenceData",
    "Sequences",
    "SimulatedTask",
    "Split",
    "Target",
    "Task",
    "TaskContext",
    "Text",
    "TrainBatches",
    "Values",
    "World",
    "Written",
    "__version__",
    "added",
    "as_controllers",
    "compile",
    "compile_phenotype",
    "detached",
    "each_tensor",
    "fit",
    "hookimpl",
    "install_command",
    "kernel_gain",
    "load_weights",
    "no_genes",
    "open_file",
    "product",
    "resume",
    "run",
    "run_job",
    "run_networks",
    "scan",
    "standardize",
    "symbol_vectors",
]


#: What public names of earlier versions are called now.
_RENAMED = {"run_task": "run_job"}


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        raise AttributeError(f"genophen.{name} is called genophen.{_RENAMED[name]} now")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'genophen' has no attribute {name!r}")
    value = getattr(import_module(f"genophen.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])

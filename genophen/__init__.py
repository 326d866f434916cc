"""Indirect encodings of neural networks: a small genotype compiles to the phenotype, the main network.

The public names are handed out on first use, so that importing this package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from genophen.api import compile, resume, run
    from genophen.architecture import Architecture
    from genophen.batches import TrainBatches
    from genophen.dataset import Data, Dataset, Split
    from genophen.errors import (
        ConfigError,
        DamagedError,
        GenophenError,
        PluginError,
        Problem,
    )
    from genophen.executor import Executor, Outcome, Task, run_task
    from genophen.genotype import Genotype, Target, no_genes
    from genophen.hookspecs import hookimpl
    from genophen.kernels import ConvBiases, KernelOptions, kernel_gain, standardize
    from genophen.optimizer import Context, Metrics, Optimizer
    from genophen.options import Options, PathOption
    from genophen.phenotype import ParameterCounts, Phenotype, compile_phenotype
    from genophen.population import Population
    from genophen.readout import RidgeRegression, cross_validate, find_readout, sharpness
    from genophen.reporter import Reporter, RunInfo
    from genophen.runs import Run
    from genophen.svm import fit_svm
    from genophen.warm_start import load_weights

_MODULE_OF = {
    "Architecture": "architecture",
    "ConfigError": "errors",
    "Context": "optimizer",
    "ConvBiases": "kernels",
    "DamagedError": "errors",
    "Data": "dataset",
    "Dataset": "dataset",
    "Executor": "executor",
    "GenophenError": "errors",
    "Genotype": "genotype",
    "KernelOptions": "kernels",
    "Metrics": "optimizer",
    "Optimizer": "optimizer",
    "Options": "options",
    "Outcome": "executor",
    "ParameterCounts": "phenotype",
    "PathOption": "options",
    "Phenotype": "phenotype",
    "PluginError": "errors",
    "Population": "population",
    "Problem": "errors",
    "Reporter": "reporter",
    "RidgeRegression": "readout",
    "Run": "runs",
    "RunInfo": "reporter",
    "Split": "dataset",
    "Target": "genotype",
    "Task": "executor",
    "TrainBatches": "batches",
    "compile": "api",
    "compile_phenotype": "phenotype",
    "cross_validate": "readout",
    "find_readout": "readout",
    "fit_svm": "svm",
    "hookimpl": "hookspecs",
    "kernel_gain": "kernels",
    "load_weights": "warm_start",
    "no_genes": "genotype",
    "resume": "api",
    "run": "api",
    "run_task": "executor",
    "sharpness": "readout",
    "standardize": "kernels",
}

__all__ = [
    "Architecture",
    "ConfigError",
    "Context",
    "ConvBiases",
    "DamagedError",
    "Data",
    "Dataset",
    "Executor",
    "GenophenError",
    "Genotype",
    "KernelOptions",
    "Metrics",
    "Optimizer",
    "Options",
    "Outcome",
    "ParameterCounts",
    "PathOption",
    "Phenotype",
    "PluginError",
    "Population",
    "Problem",
    "Reporter",
    "RidgeRegression",
    "Run",
    "RunInfo",
    "Split",
    "Target",
    "Task",
    "TrainBatches",
    "__version__",
    "compile",
    "compile_phenotype",
    "cross_validate",
    "find_readout",
    "fit_svm",
    "hookimpl",
    "kernel_gain",
    "load_weights",
    "no_genes",
    "resume",
    "run",
    "run_task",
    "sharpness",
    "standardize",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'genophen' has no attribute {name!r}")
    value = getattr(import_module(f"genophen.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])

"""Contract checks for plugin authors, one file a contract, named like it.

Each raises an AssertionError that says, for every check that failed, what is wrong and how to mend it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from genophen.contracts.architecture import Architecture
from genophen.contracts.dataset import Data, Dataset
from genophen.contracts.executor import Executor
from genophen.contracts.genotype import Genotype
from genophen.contracts.optimizer import Optimizer
from genophen.contracts.options import Options
from genophen.contracts.reporter import Reporter
from genophen.contracts.task import Task
from genophen.testing.architecture import examine_architecture
from genophen.testing.copy_genotype import CopyGenotype
from genophen.testing.dataset import examine_dataset
from genophen.testing.executor import examine_executor
from genophen.testing.findings import Finding, Findings
from genophen.testing.genotype import examine_genotype
from genophen.testing.optimizer import OptimizerTrial, examine_optimizer
from genophen.testing.reporter import examine_reporter
from genophen.testing.task import examine_task

__all__ = [
    "CopyGenotype",
    "Finding",
    "OptimizerTrial",
    "check_architecture",
    "check_dataset",
    "check_executor",
    "check_genotype",
    "check_optimizer",
    "check_reporter",
    "check_task",
    "examine",
]


def check_architecture(cls: type[Architecture], options: Options | None = None) -> None:
    """Build, compile, run, differentiate and materialize an architecture."""
    findings = Findings()
    findings.collect(examine_architecture, cls, options)
    findings.raise_problems(f"architecture {cls.__name__}")


def check_genotype(cls: type[Genotype], options: Options | None = None) -> None:
    """Compile a small network with a genotype, and check what it writes, its draws and its gradients."""
    findings = Findings()
    findings.collect(examine_genotype, cls, options)
    findings.raise_problems(f"genotype {cls.__name__}")


def check_optimizer(cls: type[Optimizer], options: Options | None = None) -> None:
    """Take steps on a small problem, and check that a state restored from a file continues to the bit."""
    findings = Findings()
    findings.collect(examine_optimizer, cls, options)
    findings.raise_problems(f"optimizer {cls.__name__}")


def check_dataset(cls: type[Dataset], data_dir: Path, options: Options | None = None) -> Data:
    """Load a data set twice, check its splits, and return it."""
    findings = Findings()
    data: list[Data] = []
    findings.collect(examine_dataset, cls, options, data_dir, data.append)
    findings.raise_problems(f"dataset {cls.__name__}")
    return data[0]


def check_task(cls: type[Task], options: Options | None = None) -> None:
    """Set a task up, draw from it, and have it judge a small network."""
    findings = Findings()
    findings.collect(examine_task, cls, options)
    findings.raise_problems(f"task {cls.__name__}")


def check_reporter(cls: type[Reporter]) -> None:
    """Tell a reporter of a short run, and of one that ends in an error."""
    findings = Findings()
    findings.collect(examine_reporter, cls)
    findings.raise_problems(f"reporter {cls.__name__}")


def check_executor(cls: type[Executor]) -> None:
    """Let an executor run jobs, one of which raises, one after another and two at a time."""
    findings = Findings()
    findings.collect(examine_executor, cls)
    findings.raise_problems(f"executor {cls.__name__}")


def examine(kind: str, cls: type, data_dir: Path, options: Options | None = None) -> list[Finding]:
    """Every check of a class with those options, or its defaults; the failed ones are among them."""
    findings = Findings()
    if kind == "dataset":
        findings.collect(examine_dataset, cls, options, data_dir)
    elif kind in _WITHOUT_OPTIONS:
        findings.collect(_WITHOUT_OPTIONS[kind], cls)
    else:
        findings.collect(_WITH_OPTIONS[kind], cls, options)
    return findings.all


_WITH_OPTIONS: dict[str, Callable[..., None]] = {
    "architecture": examine_architecture,
    "genotype": examine_genotype,
    "optimizer": examine_optimizer,
    "task": examine_task,
}
_WITHOUT_OPTIONS: dict[str, Callable[..., None]] = {
    "reporter": examine_reporter,
    "executor": examine_executor,
}

"""What a class must be to be a plugin of a kind."""

from __future__ import annotations

import inspect
import re

from genophen.config.config import SECTIONS
from genophen.contracts.architecture import Architecture
from genophen.contracts.dataset import Dataset
from genophen.contracts.executor import Executor
from genophen.contracts.genotype import Genotype
from genophen.contracts.optimizer import Optimizer
from genophen.contracts.options import Options
from genophen.contracts.reporter import Reporter
from genophen.contracts.task import Task
from genophen.plugins.isolation import cause

#: Kinds of plugin: the config's name of the kind, the hook that registers it, and its base class.
KINDS: dict[str, tuple[str, type]] = {
    "architecture": ("register_architectures", Architecture),
    "genotype": ("register_genotypes", Genotype),
    "optimizer": ("register_optimizers", Optimizer),
    "dataset": ("register_datasets", Dataset),
    "task": ("register_tasks", Task),
    "reporter": ("register_reporters", Reporter),
    "executor": ("register_executors", Executor),
}
#: What genophen calls a class of each kind with.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "architecture": ("options",),
    "genotype": ("options", "targets", "generator"),
    "optimizer": ("options",),
    "dataset": ("options",),
    "task": ("options",),
    "reporter": (),
    "executor": ("jobs", "address"),
}
_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_NAME = 64


def contract_problem(kind: str, cls: object) -> str:
    """Why something registered cannot be a plugin of a kind; empty where it can."""
    hook, base = KINDS[kind]
    if not isinstance(cls, type):
        return f"{hook} got an instance of {type(cls).__name__}: register the class, not an instance"
    if not issubclass(cls, base):
        return f"{hook} got {cls.__name__}, which is no subclass of genophen.{base.__name__}"
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        return f"{kind} {cls.__name__} does not write {', '.join(missing)}"
    if kind == "architecture" and hasattr(cls, "num_classes") and getattr(cls, "num_outputs", None) is None:
        return f"architecture {cls.__name__} sets num_classes, which is called num_outputs now: rename it"
    problem = _name_problem(kind, cls) or _options_problem(cls) or _call_problem(kind, cls)
    return f"{kind} {cls.__name__}: {problem}" if problem else ""


def _name_problem(kind: str, cls: type) -> str:
    for attribute in ("name", "description"):
        if not isinstance(getattr(cls, attribute, None), str):
            return f"it sets no {attribute!r} (a string)"
    problem = name_problem(kind, cls.name)  # type: ignore[attr-defined]
    return f"its name is {problem}" if problem else ""


def name_problem(kind: str, name: str) -> str:
    """Why a plugin of a kind cannot have that name; empty where it can."""
    if not _KEBAB.fullmatch(name) or len(name) > _LONGEST_NAME:
        return f"{name[:_LONGEST_NAME]!r}: give a kebab-case name, such as 'wide-resnet'"
    taken = ("name", *SECTIONS[kind].model_fields) if kind in SECTIONS else ()
    return f"{name!r}, a key of the section [{kind}]: choose another name" if name in taken else ""


def _options_problem(cls: type) -> str:
    options = getattr(cls, "Options", Options)
    if not (isinstance(options, type) and issubclass(options, Options)):
        return "its Options is no subclass of genophen.Options"
    try:
        options.model_json_schema()  # which `plugins show` prints; fails for types that do not exist
    except Exception as error:
        return f"its Options cannot be used: {cause(error)}"
    return ""


def _call_problem(kind: str, cls: type) -> str:
    arguments = ARGUMENTS[kind]
    try:
        inspect.signature(cls).bind(*arguments)
    except TypeError as error:
        return f"it cannot be called as {cls.__name__}({', '.join(arguments)}): {error}"
    except ValueError:  # a class without a signature that Python knows
        return ""
    return ""

"""Keeping the code of plugins from changing the process that they are loaded into."""

from __future__ import annotations

import importlib
import os
import random
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pluggy
import pydantic
import torch

from genophen.errors import one_line


def _default_device(device: torch.device) -> None:
    # None, unlike "cpu", takes torch's dispatch on every call away again.
    torch.set_default_device(None if device.type == "cpu" else device)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # somebody deleted it
        return "/"


#: Settings of the whole process that later results depend on: how each is read and put back.
_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, _default_device),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's deterministic mode": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "the working directory": (_working_directory, os.chdir),
}


@contextmanager
def contained(changes: list[str]) -> Iterator[None]:
    """Run the block, put global state back, and name in `changes` the settings that it had changed.

    Random generators and warning filters are put back without a word; what is printed goes to stderr.
    """
    settings = {name: read() for name, (read, _) in _SETTINGS.items()}
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    stderr = sys.stderr
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr = stderr
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])
        for name, (read, put_back) in _SETTINGS.items():
            if read() != settings[name]:
                put_back(settings[name])
                changes.append(name)


def cause(error: BaseException) -> str:
    """An exception as one line; its class alone where its message is empty, or raises in its turn."""
    try:
        message = one_line(str(error))
    except BaseException:  # whatever an exception's own __str__ raises
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _folder(module: ModuleType) -> str:
    return str(Path(str(module.__file__)).parent) + os.sep


#: Code that only passes on what a plugin's code did wrong.
_BETWEEN = (
    "<frozen",
    str(Path(__file__).parent.parent) + os.sep,
    *map(_folder, (importlib, pluggy, pydantic, torch)),
)


def place(error: BaseException) -> str:
    """The line of a plugin's code that an exception came from, `tiny.py, line 12`; empty if there is none."""
    frames = _frames(error)
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def comes_from(error: BaseException, cls: type) -> bool:
    """Whether it was the file of a plugin's class that an exception came from."""
    frames, module = _frames(error), sys.modules.get(cls.__module__)
    return bool(frames) and frames[-1].filename == getattr(module, "__file__", None)


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_BETWEEN)]


def cause_of_loading(error: BaseException) -> str:
    """An exception from a plugin's import as one line: what, where, and what to do if a module is absent."""
    text, where = cause(error), place(error)
    if where and not isinstance(error, SyntaxError):  # which names its line itself
        text += f" ({where})"
    if isinstance(error, ModuleNotFoundError):
        mend = f"install what has {error.name}, and list it under dependencies in the plugin's pyproject.toml"
        text += f"; {mend if where else 'its entry point has to name a module of the package'}"
    return text

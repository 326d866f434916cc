"""Every hook of genophen. A plugin implements those it needs and registers classes, not instances."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

hookspec = pluggy.HookspecMarker("genophen")
hookimpl = pluggy.HookimplMarker("genophen")


@hookspec
def register_architectures(register: Callable[[type], None]) -> None:
    """Call `register` with each subclass of `genophen.Architecture`."""


@hookspec
def register_genotypes(register: Callable[[type], None]) -> None:
    """Call `register` with each subclass of `genophen.Genotype`."""


@hookspec
def register_optimizers(register: Callable[[type], None]) -> None:
    """Call `register` with each subclass of `genophen.Optimizer`."""


@hookspec
def register_datasets(register: Callable[[type], None]) -> None:
    """Call `register` with each subclass of `genophen.Dataset`."""


@hookspec
def register_tasks(register: Callable[[type], None]) -> None:
    """Call `register` with each subclass of `genophen.Task`."""


@hookspec
def register_reporters(register: Callable[[type], None]) -> None:
    """Call `register` with each subclass of `genophen.Reporter`."""


@hookspec
def register_executors(register: Callable[[type], None]) -> None:
    """Call `register` with each subclass of `genophen.Executor`."""

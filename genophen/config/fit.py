"""Whether the plugins that a config selects fit each other, as far as it can be told before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genophen.errors import Problem, listed

if TYPE_CHECKING:
    from genophen.config.config import Choice, PluginLookup


def misfit(choices: Mapping[str, Choice], plugins: PluginLookup) -> Problem | None:
    """Why the optimizer cannot be used for the task, or on the genotype, if it cannot."""
    return _without_gradients(choices, plugins) or _other_genotype(choices, plugins)


def _other_genotype(choices: Mapping[str, Choice], plugins: PluginLookup) -> Problem | None:
    genotype, optimizer = choices["genotype"].name, choices["optimizer"].name
    works_on = plugins.get("optimizer", optimizer).cls.works_on
    if works_on is None or issubclass(plugins.get("genotype", genotype).cls, works_on):
        return None
    fit = [
        name for name in plugins.names("genotype") if issubclass(plugins.get("genotype", name).cls, works_on)
    ]
    return Problem(
        "optimizer.name",
        f"{optimizer!r} does not work on the genotype {genotype}",
        f"with this optimizer: {listed(fit)}",
        f"--genotype {fit[0]}" if fit else "--optimizer NAME",
    )


def _without_gradients(choices: Mapping[str, Choice], plugins: PluginLookup) -> Problem | None:
    task, optimizer = choices["task"], choices["optimizer"]
    with plugins.blame("task", task.name):
        differentiable = plugins.get("task", task.name).cls(task.options).differentiable
    if differentiable or not plugins.get("optimizer", optimizer.name).cls.needs_gradients:
        return None
    without = [
        name for name in plugins.names("optimizer") if not plugins.get("optimizer", name).cls.needs_gradients
    ]
    return Problem(
        "optimizer.name",
        f"{optimizer.name!r} takes gradients, which the task {task.name} does not have",
        f"an optimizer that needs none: {listed(without)}",
        "--optimizer NAME",
    )

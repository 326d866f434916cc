"""Whether the plugins that a config selects fit each other, as far as it can be told before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genophen.errors import Problem, listed

if TYPE_CHECKING:
    from genophen.config.config import Choice, PluginLookup


def misfit(choices: Mapping[str, Choice], plugins: PluginLookup) -> Problem | None:
    """Why the optimizer cannot be used for the task, if it cannot."""
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

"""Packages that are needed by one plugin alone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import genophen


def needed(module: str, extra: str, attempted: str) -> Any:
    """A module of the extra `genophen[extra]`.

    Raises:
        PluginError: where it cannot be imported, with what installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise genophen.PluginError(
            attempted, found=str(error), next_step=genophen.install_command(extra)
        ) from None

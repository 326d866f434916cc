"""Ray, imported and started the same way by everything that uses it."""

from __future__ import annotations

import logging
import os
from typing import Any

import genophen


def start_ray(address: str | None, otherwise: str) -> Any:
    """The package ray, connected: to the cluster at `address`, or to a Ray on this machine that it starts.

    `otherwise` says in an error what can be done without Ray.
    """
    quiet_ray()
    try:
        import ray
    except ImportError:
        raise genophen.GenophenError(
            "cannot use ray",
            found="the package ray is not installed",
            next_step=f"pip install 'genophen[evolution]', or {otherwise}",
        ) from None
    if not ray.is_initialized():
        address = None if address in (None, "", "local") else address
        try:
            ray.init(
                address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise genophen.GenophenError(
                f"cannot join the Ray cluster at {address}",
                found=str(error).splitlines()[0],
                allowed="HOST:PORT of a cluster's head, 'auto' for one that runs on this machine",
                next_step=otherwise,
            ) from None
    return ray


def quiet_ray() -> None:
    """Let nothing leave the machine unless its user asks for that."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

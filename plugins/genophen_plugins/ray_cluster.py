"""Ray, imported and started the same way by everything that uses it."""

from __future__ import annotations

import logging
import os
import signal
import threading
from concurrent.futures import Future
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
            next_step=f"{genophen.install_command('evolution')}, or {otherwise}",
        ) from None
    if not ray.is_initialized():
        address = None if address in (None, "", "local") else address
        try:
            _init_aside(ray, address)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise genophen.GenophenError(
                f"cannot join the Ray cluster at {address}",
                found=str(error).splitlines()[0],
                allowed="HOST:PORT of a cluster's head, 'auto' for one that runs on this machine",
                next_step=otherwise,
            ) from None
    return ray


def _init_aside(ray: Any, address: str | None) -> None:
    """Call ray.init in a thread of its own, which keeps signals from Ray and Ray from them.

    In the main thread Ray would have SIGTERM end the process at once. What Ray starts inherits that SIGTERM
    and SIGHUP are blocked: sent to the whole process group, as `timeout` and a closed terminal do, they would
    end the workers in the middle of the generation that is to be saved.
    """
    started: Future[None] = Future()

    def init() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
        try:
            ray.init(
                address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
            )
            started.set_result(None)
        except BaseException as error:
            started.set_exception(error)
        threading.Event().wait()  # Ray's processes end with the thread that started them

    threading.Thread(target=init, name="ray", daemon=True).start()
    started.result()


def quiet_ray() -> None:
    """Let nothing leave the machine unless its user asks for that."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

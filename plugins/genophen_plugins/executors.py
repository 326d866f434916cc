"""Executors: processes on this machine, or tasks on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import genophen


class LocalExecutor(genophen.Executor):
    """One task after another in this process, or `jobs` processes that share the cores."""

    name = "local"
    description = "on this machine, in one or several processes"

    def run(self, tasks: Sequence[genophen.Task]) -> Iterator[genophen.Outcome]:
        if self.jobs == 1:
            yield from map(genophen.run_task, tasks)
            return
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        # A fresh process a worker: a forked one would inherit torch's threads in the middle of things.
        with ProcessPoolExecutor(
            self.jobs, get_context("spawn"), initializer=_limit_threads, initargs=(threads,)
        ) as pool:
            futures = {pool.submit(genophen.run_task, task): task for task in tasks}
            for future in as_completed(futures):
                try:
                    yield future.result()
                except BrokenProcessPool as error:
                    yield genophen.Outcome(futures[future], error=f"its process died: {error}")


class RayExecutor(genophen.Executor):
    """Tasks on a Ray cluster; without an address, on a Ray that is started on this machine."""

    name = "ray"
    description = "on a Ray cluster (--ray ADDRESS)"

    def run(self, tasks: Sequence[genophen.Task]) -> Iterator[genophen.Outcome]:
        ray = _import_ray()
        if not ray.is_initialized():
            address = None if self.address in (None, "", "local") else self.address
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="error")
        remote = ray.remote(max_retries=3)(genophen.run_task)
        pending = {remote.remote(task): task for task in tasks}
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            task = pending.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayError as error:
                yield genophen.Outcome(task, error=f"{type(error).__name__}: {error}")


def _limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _import_ray() -> Any:
    # Nothing leaves the machine unless its user asks for that.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise genophen.GenophenError(
            "cannot use the executor ray",
            found="the package ray is not installed",
            next_step="pip install 'genophen[evolution]', or run on this machine with --jobs N",
        ) from None
    return ray


@genophen.hookimpl
def register_executors(register):  # type: ignore[no-untyped-def]
    register(LocalExecutor)
    register(RayExecutor)

"""Executors: processes on this machine, or tasks on a Ray cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait

import genophen
from genophen_plugins.ray_cluster import start_ray


class LocalExecutor(genophen.Executor):
    """One task after another in this process, or `jobs` processes that share the cores."""

    name = "local"
    description = "on this machine, in one or several processes"

    def run(self, tasks: Sequence[genophen.Task]) -> Generator[genophen.Outcome]:
        if self.jobs == 1:
            yield from map(genophen.run_task, tasks)
            return
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        # A fresh process a worker: a forked one would inherit torch's threads in the middle of things.
        pool = ProcessPoolExecutor(
            self.jobs, get_context("spawn"), initializer=_start_worker, initargs=(threads,)
        )
        futures = {pool.submit(genophen.run_task, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                try:
                    yield future.result()
                except BrokenProcessPool as error:
                    yield genophen.Outcome(futures[future], error=f"its process died: {error}")
        except BaseException:
            # An interrupt, or nobody wants the other outcomes. A worker that is asked politely would go on
            # to the next task, which the pool has handed out already.
            for process in active_children():
                process.kill()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class RayExecutor(genophen.Executor):
    """Tasks on a Ray cluster; without an address, on a Ray that is started on this machine."""

    name = "ray"
    description = "on a Ray cluster (--ray ADDRESS)"

    def run(self, tasks: Sequence[genophen.Task]) -> Generator[genophen.Outcome]:
        ray = start_ray(self.address, "run on this machine with --jobs N")
        remote = ray.remote(max_retries=3)(genophen.run_task)
        pending = {remote.remote(task): task for task in tasks}
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            task = pending.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayError as error:
                yield genophen.Outcome(task, error=f"{type(error).__name__}: {error}")


def _start_worker(threads: int) -> None:
    """Prepare a worker process: its share of the cores, and no life of its own after its parent's death."""
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker that outlives a killed sweep would write beside the one that continues it.
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@genophen.hookimpl
def register_executors(register):  # type: ignore[no-untyped-def]
    register(LocalExecutor)
    register(RayExecutor)

"""Executors: processes on this machine, or jobs on a Ray cluster."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait

import genophen
from genophen_plugins.ray_cluster import start_ray

_DIED_ONCE = "its process died once, and it was begun again"
_DIED_TWICE = "its process died, twice: killed for want of memory? Fewer jobs at a time (--jobs) need less"


class LocalExecutor(genophen.Executor):
    """One job after another in this process, or `jobs` processes that share the cores."""

    name = "local"
    description = "on this machine, in one or several processes"

    def run(self, queue: Sequence[genophen.Job]) -> Generator[genophen.Outcome]:
        if self.jobs == 1:
            yield from map(genophen.run_job, queue)
            return
        workers = [_Worker(max(1, (os.cpu_count() or 1) // self.jobs)) for _ in range(self.jobs)]
        try:
            yield from _run(deque(map(_Try, queue)), workers)
        except BaseException:
            # An interrupt, or nobody wants the other outcomes.
            for process in active_children():
                process.kill()
            raise
        finally:
            for worker in workers:
                worker.end()


@dataclass(frozen=True)
class _Try:
    job: genophen.Job
    #: Whether a process has died of it.
    again: bool = False


class _Worker:
    """One process, which does a job at a time: in a pool of several, one that dies ends the others."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = self._new_pool()

    def submit(self, job: genophen.Job) -> Future[genophen.Outcome]:
        try:
            return self._pool.submit(genophen.run_job, job)
        except BrokenProcessPool:  # it died between two jobs
            self.start_again()
            return self._pool.submit(genophen.run_job, job)

    def start_again(self) -> None:
        self.end()
        self._pool = self._new_pool()

    def end(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        # A fresh process: a forked one would inherit torch's threads in the middle of things.
        return ProcessPoolExecutor(
            1, get_context("spawn"), initializer=_start_worker, initargs=(self._threads,)
        )


def _run(waiting: deque[_Try], idle: list[_Worker]) -> Generator[genophen.Outcome]:
    """Outcomes as they come. A job whose process dies is begun once more."""
    running: dict[Future[genophen.Outcome], tuple[_Try, _Worker]] = {}
    idle = list(idle)
    while waiting or running:
        while waiting and idle:
            attempt, worker = waiting.popleft(), idle.pop()
            running[worker.submit(attempt.job)] = attempt, worker
        for future in wait_for(running, return_when=FIRST_COMPLETED).done:
            attempt, worker = running.pop(future)
            idle.append(worker)
            try:
                outcome = future.result()
            except BrokenProcessPool:
                worker.start_again()
                if not attempt.again:
                    waiting.appendleft(replace(attempt, again=True))
                    continue
                outcome = genophen.Outcome(attempt.job, error=_DIED_TWICE)
            yield replace(outcome, note=_DIED_ONCE) if attempt.again and not outcome.error else outcome


class RayExecutor(genophen.Executor):
    """Tasks on a Ray cluster; without an address, on a Ray that is started on this machine."""

    name = "ray"
    description = "on a Ray cluster (--ray ADDRESS)"

    def run(self, queue: Sequence[genophen.Job]) -> Generator[genophen.Outcome]:
        ray = start_ray(self.address, "run on this machine with --jobs N")
        remote = ray.remote(max_retries=3)(genophen.run_job)
        pending = {remote.remote(job): job for job in queue}
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayError as error:
                yield genophen.Outcome(job, error=f"{type(error).__name__}: {error}")


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

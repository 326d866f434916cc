"""A report that is written again while its runs go on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genophen.errors import DamagedError
from genophen.plugins.registry import Plugins
from genophen.report.page import PageOptions, write_report
from genophen.storage.guard import GuardedPath
from genophen.storage.locking import is_locked
from genophen.training.preparing import Notify
from genophen.training.signals import StopSignal

#: Seconds between two looks at the folders, and between two reloads of the page.
INTERVAL = 3.0
#: Files that say how far a run is.
_FILES = ("metrics.jsonl", "result.json", "failure.json")


def watch_report(
    directories: Sequence[Path], target: Path, plugins: Plugins, options: PageOptions, notify: Notify
) -> int:
    """Write the page whenever the runs have got further, until they are over; the number of a signal, or 0.

    Raises:
        GenophenError: see `write_report`.
    """
    going_on = replace(options, refresh=max(1, round(INTERVAL)))
    seen: object = None
    with StopSignal() as stop:
        while not stop.number:
            state = _state(directories)
            if state != seen:
                seen = state
                if not write_report(directories, target, plugins, going_on, lambda note: None).running:
                    break
            _wait(stop)
    # Who interrupts does not wait for images; a page that reloads for ever would be worse than one without.
    images = options.images and not stop.number
    write_report(directories, target, plugins, replace(options, images=images), notify)
    return stop.number


def _wait(stop: StopSignal) -> None:
    """The interval, in small parts: a signal ends the wait."""
    until = time.monotonic() + INTERVAL
    while time.monotonic() < until and not stop.number:
        time.sleep(0.1)


def _state(directories: Sequence[Path]) -> list[tuple[object, ...]]:
    """What changes as runs go on: locks, and the sizes of the files that grow or appear."""
    folders = [folder for given in directories for folder in (given, *sorted(given.glob("trials/*")))]
    guarded = [GuardedPath(folder) for folder in folders]
    return [(folder, is_locked(folder), *(_size(folder / name) for name in _FILES)) for folder in guarded]


def _size(file: GuardedPath) -> int:
    try:
        return file.size() if file.is_file() else -1
    except (OSError, DamagedError):
        return -1

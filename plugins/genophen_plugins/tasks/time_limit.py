"""A limit on how long calls into others' code may take, each by itself."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any


class OverdueError(BaseException):
    """A call has taken too long; no Exception, so that a loop that survives those ends, too."""


class TimeLimit:
    """Inside the block, calls that are marked and take longer than so many seconds raise an OverdueError.

    Python's own code, sleep and waiting can be interrupted so; C code that never returns cannot. Timers send
    signals, which only the main thread takes: elsewhere there is no limit.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: When the call under way began, on `time.monotonic()`; None between calls.
        self.began: float | None = None
        self._before: Any = None
        self._active = False

    def __enter__(self) -> TimeLimit:
        self._active = threading.current_thread() is threading.main_thread()
        if self._active:
            self._before = signal.signal(signal.SIGALRM, self._look)
            signal.setitimer(signal.ITIMER_REAL, self._seconds / 4, self._seconds / 4)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
        self.began = None

    def _look(self, number: int, frame: FrameType | None) -> None:
        if self.began is not None and time.monotonic() - self.began > self._seconds:
            raise OverdueError

"""Stopping between two steps when the user or the system asks for it."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType


class StopSignal:
    """Inside the block, the first SIGINT or SIGTERM is noted in `number`; the second ends the process.

    Signals can only be caught in the main thread; elsewhere the block does nothing.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            os._exit(128 + number)
        self.number = number

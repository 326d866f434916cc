"""Stopping between two steps when the user or the system asks for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

#: 0 on Windows, which has no such signal.
_HANGUP = getattr(signal, "SIGHUP", 0)
#: What asks a run to stop.
_ASKING = [number for number in (signal.SIGINT, signal.SIGTERM, _HANGUP) if number]
#: A signal that comes again within so many seconds is the same one: `timeout` sends SIGTERM to the process
#: and to its group, and a terminal that is closed may send SIGHUP twice.
_ECHO_SECONDS = 0.5


class StopSignal:
    """Inside the block, the first SIGINT, SIGTERM or SIGHUP is noted in `number`; a second ends the process.

    A SIGHUP that is ignored, as `nohup` has it, stays ignored. Signals can only be caught in the main
    thread; elsewhere the block does nothing.
    """

    def __init__(self) -> None:
        self.number = 0
        self._noted_at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in _ASKING}
            if before.get(_HANGUP) is signal.SIG_IGN:
                del before[_HANGUP]
            self._before = before
            self.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        """Take the signals back from a library that has put its own handlers in place since."""
        for number in self._before:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.number:
            self.number, self._noted_at = number, now
        elif number != self.number or now - self._noted_at > _ECHO_SECONDS:
            os._exit(128 + number)


def hand_on(number: int) -> None:
    """Give a signal that was noted to the caller: to its handler, or as the exception that ends a program.

    Raises:
        KeyboardInterrupt, SystemExit: where nobody handles it; the exit code is 128 and the number.
    """
    if callable(signal.getsignal(number)):
        signal.raise_signal(number)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise SystemExit(128 + number)

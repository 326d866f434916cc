"""The command's standard streams: messages may be lost, data may not without notice, and plugins keep off."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Sink(io.FileIO):
    """A descriptor whose reader may go away: what cannot be written is dropped, and `lost` says why."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.lost = ""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            written: int | None = super().write(data)
            if written is not None:
                return written
            self.lost = "it is full and does not wait"  # as a pipe of another program's may be
        except OSError as error:
            self.lost = error.strerror or str(error)
        return memoryview(data).nbytes


def own_streams() -> None:
    """Give the process streams that never raise, and stdout to this package alone.

    Descriptor 1 becomes a second standard error, so that what a plugin's library prints below Python does not
    get between the data. Streams that somebody has replaced, such as a notebook, are left alone.
    """
    if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        return
    for number in range(3):
        _fill(number)
    data = os.dup(1)
    os.dup2(2, 1)
    # The second name as well: terminal widths are asked of it.
    sys.stdout = sys.__stdout__ = _stream(data, sys.stdout)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, sys.stderr)  # type: ignore[misc]


def lost_output() -> str:
    """Why some of stdout could not be written; empty where nothing was lost."""
    sink = _sink(sys.stdout)
    return sink.lost if sink else ""


@contextmanager
def dispensable() -> Iterator[None]:
    """What stdout loses in the block is no failure."""
    yield
    if sink := _sink(sys.stdout):
        sink.lost = ""


def _fill(number: int) -> None:
    """Open a closed standard descriptor, for one that takes no data: else the next file gets its number."""
    try:
        os.fstat(number)
    except OSError:  # the lowest free number is given out, and those below are taken
        os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)


def _stream(descriptor: int, before: TextIO | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(_Sink(descriptor)),
        encoding=before.encoding if before else None,
        errors=before.errors if before else "backslashreplace",
        line_buffering=True,
    )


def _sink(stream: TextIO) -> _Sink | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Sink) else None

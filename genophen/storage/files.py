"""Files wherever the user names them: read if they are regular and no larger than expected, written whole."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from genophen.errors import GenophenError
from genophen.storage.guard import MAX_BYTES, GuardedPath, kind_of, read_capped


@contextmanager
def open_file(path: str | Path, max_bytes: int = MAX_BYTES) -> Iterator[BufferedReader]:
    """A regular file of at most `max_bytes`, open for reading; links are followed.

    Raises:
        OSError: for one that cannot be opened.
        ValueError: for a pipe, a device and the like, which might never end, and for a larger file.
    """
    _check_regular(os.stat(path))  # before it is opened: that alone may do something to a device
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        _check_regular(status)
        if status.st_size > max_bytes:
            raise ValueError(f"it has more than {max_bytes:,} bytes")
        yield file


def read_file(path: Path | GuardedPath, max_bytes: int = MAX_BYTES) -> bytes:
    """What a file holds; raises as `open_file` does, and as a guarded path does."""
    if isinstance(path, GuardedPath):
        return path.read_bytes(max_bytes)
    with open_file(path, max_bytes) as file:
        return read_capped(file, max_bytes)


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it holds either its old or its new content, whole."""
    try:
        file = GuardedPath(path.parent) / path.name
    except ValueError:
        raise OSError(errno.EINVAL, "it has no name of a file") from None
    file.write(content)


@contextmanager
def writing(place: object, next_step: str) -> Iterator[None]:
    """Turn an OSError inside the block into a GenophenError: what cannot be written, why, and what to do."""
    try:
        yield
    except OSError as error:
        raise GenophenError(
            f"cannot write {place}", found=error.strerror or str(error), next_step=next_step
        ) from error


def canonical_json(value: object) -> bytes:
    """The one JSON text for a value: sorted keys, no white space, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode()


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"it is {kind_of(status)}, not a file")

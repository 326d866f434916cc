"""The lock of a run directory, or of a sweep's folder, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from genophen.errors import DamagedError
from genophen.storage.guard import GuardedPath

#: The file that is locked.
LOCK = ".lock"


@contextmanager
def lock(folder: GuardedPath) -> Iterator[None]:
    """Hold the lock of a run directory, or of a sweep's folder, inside the block; it ends with the process.

    Raises:
        BlockingIOError: where another process holds it.
    """
    with (folder / LOCK).open(os.O_RDWR | os.O_CREAT) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def is_locked(folder: GuardedPath) -> bool:
    """Whether a process holds the lock of a run directory, or of a sweep's folder."""
    try:
        with (folder / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, DamagedError):  # there is none, or it cannot be told
        pass
    return False

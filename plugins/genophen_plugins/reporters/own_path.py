"""Paths in a run directory that lead nowhere else."""

from __future__ import annotations

from pathlib import Path

import genophen


def own_path(path: Path) -> Path:
    """The path itself.

    Raises:
        DamagedError: where a link, a pipe or a device stands there.
    """
    if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
        raise genophen.DamagedError(
            f"cannot use {path}",
            found="it is a link, a pipe or a device",
            allowed="what genophen made there; nothing is read or written through a link",
            next_step="move it away",
        )
    return path

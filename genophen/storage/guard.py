"""Paths inside a folder that genophen keeps: nothing there leads to another place.

Every file of a run directory, of a sweep's folder and of published results is opened, written, renamed and
removed through `GuardedPath`, from one folder's descriptor to the next, and no link is followed. The folder
itself is where the user says, be that a link.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from genophen.errors import DamagedError

#: The largest text or JSON file that is read.
MAX_BYTES = 64 * 2**20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "a link to another place",
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True)
class GuardedPath:
    """A path below `root`, such as `GuardedPath(root) / "best" / "manifest.json"`.

    Methods raise OSError as those of pathlib do, and a DamagedError where something is there that genophen
    does not make: a link, a pipe, a device, a folder in a file's place.
    """

    root: Path
    parts: tuple[str, ...] = ()

    def __truediv__(self, name: str) -> GuardedPath:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"{name!r} is not the name of a file")
        return GuardedPath(self.root, (*self.parts, name))

    def __str__(self) -> str:
        return str(self.path)

    @property
    def path(self) -> Path:
        """As messages show it. To open it would follow links."""
        return self.root.joinpath(*self.parts)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def parent(self) -> GuardedPath:
        if not self.parts:
            raise ValueError(f"{self} is where the guard begins")
        return GuardedPath(self.root, self.parts[:-1])

    def is_file(self) -> bool:
        """Whether a file is there; False where nothing is."""
        return self._is("a file")

    def is_folder(self) -> bool:
        """Whether a folder is there; False where nothing is."""
        return self._is("a folder")

    def names(self) -> list[str]:
        """What is in this folder, in order; nothing where it is absent."""
        with suppress(FileNotFoundError), self._folder() as folder:
            return sorted(os.listdir(folder))
        return []

    @contextmanager
    def open(self, flags: int = os.O_RDONLY) -> Iterator[IO[bytes]]:
        """The file, opened with flags of `os.open`."""
        with self.parent._folder() as folder:
            self._check(folder, "a file")
            flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self.name, flags, 0o666, dir_fd=folder)
        reads = flags & os.O_ACCMODE == os.O_RDONLY
        with os.fdopen(descriptor, "rb") if reads else os.fdopen(descriptor, "wb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):  # put there since it was looked at
                raise self._foreign(kind_of(status), "a file")
            if not reads and status.st_nlink > 1:  # it is somebody's copy, too
                raise self._foreign("a file with another name elsewhere (a hard link)", "a file of its own")
            yield file

    def read_bytes(self, limit: int = MAX_BYTES) -> bytes:
        """What the file holds; a ValueError for more than `limit` bytes."""
        with self.open() as file:
            return read_capped(file, limit)

    def size(self) -> int:
        """Bytes in the file; 0 where it is absent."""
        with suppress(FileNotFoundError), self.open() as file:
            return os.fstat(file.fileno()).st_size
        return 0

    def make_folder(self) -> None:
        """Make the folder unless it is there."""
        with self.parent._folder() as folder:
            if self._check(folder, "a folder") is None:
                os.mkdir(self.name, dir_fd=folder)

    def write(self, content: bytes) -> None:
        """Write the file so that after a crash it holds either its old or its new content, whole."""
        partial = self.parent / f".{self.name}.part"
        with self.parent._folder() as folder:
            self._check(folder, "a file")
        try:
            partial.unlink()
            partial.create(content)
            partial.rename(self.name)
        except OSError:
            partial.unlink()
            raise
        self.parent.sync()

    def create(self, content: bytes) -> None:
        """Write a new file and bring it to the disk."""
        with self.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
            _write_all(file, content)
            os.fsync(file.fileno())

    def append(self, content: bytes) -> None:
        """Add to the file, which is made where it is absent."""
        with self.open(os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
            _write_all(file, content)

    def synced_size(self) -> int:
        """Bytes in the file, which are on the disk then; it is made where it is absent."""
        with self.open(os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def truncate(self, size: int) -> None:
        with self.open(os.O_WRONLY) as file:
            file.truncate(size)

    def unlink(self) -> None:
        """Remove the file if it is there."""
        with suppress(FileNotFoundError), self.parent._folder() as folder:
            self._check(folder, "a file")
            os.unlink(self.name, dir_fd=folder)

    def rename(self, name: str) -> None:
        """Give a file or folder another name, below the same parent, in place of a file that has it."""
        with self.parent._folder() as folder:
            os.rename(self.name, name, src_dir_fd=folder, dst_dir_fd=folder)

    def holds_only(self, own: re.Pattern[str]) -> bool:
        """Whether there is nothing in this folder but files whose names match."""
        with self._folder() as folder:
            return all(
                own.fullmatch(name) and stat.S_ISREG(_status(name, folder).st_mode)
                for name in os.listdir(folder)
            )

    def remove(self, own: re.Pattern[str]) -> bool:
        """Remove this folder and all in it if that is nothing but files whose names match; whether it is."""
        if not self.is_folder():
            return True
        if not self.holds_only(own):
            return False
        for name in self.names():
            (self / name).unlink()
        with self.parent._folder() as folder:
            os.rmdir(self.name, dir_fd=folder)
        return True

    def sync(self) -> None:
        """Bring the names of this folder's files to the disk."""
        with self._folder() as folder:
            os.fsync(folder)

    @contextmanager
    def _folder(self) -> Iterator[int]:
        """The descriptor of this folder."""
        descriptor = os.open(self.root, _FOLDER)
        try:
            for depth, part in enumerate(self.parts):
                step = GuardedPath(self.root, self.parts[: depth + 1])
                if step._check(descriptor, "a folder") is None:
                    raise FileNotFoundError(2, os.strerror(2), str(step))
                below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _is(self, wanted: str) -> bool:
        try:
            with self.parent._folder() as folder:
                return self._check(folder, wanted) is not None
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _check(self, folder: int, wanted: str) -> os.stat_result | None:
        """What is there, in the open folder above it; None where nothing is.

        Raises:
            DamagedError: for anything but what is wanted.
        """
        try:
            status = _status(self.name, folder)
        except FileNotFoundError:
            return None
        if (found := kind_of(status)) != wanted:
            raise self._foreign(found, wanted)
        return status

    def _foreign(self, found: str, wanted: str) -> DamagedError:
        return DamagedError(
            f"cannot use {self}",
            found=f"{self.name} is {found}",
            allowed=f"{wanted}, as genophen makes it; nothing is read or written through a link",
            next_step="move it away, or put in its place what genophen wrote",
        )


def kind_of(status: os.stat_result) -> str:
    """`a file`, `a folder`, or what else it is."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "a device")


def read_capped(file: IO[bytes], max_bytes: int) -> bytes:
    """All of an open file; a ValueError, before anything is read, for more than `max_bytes`."""
    size = os.fstat(file.fileno()).st_size
    content = file.read(size + 1) if size <= max_bytes else b""
    if max(size, len(content)) > max_bytes:  # the second where it has grown
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return content


def _status(name: str, folder: int) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _write_all(file: IO[bytes], content: bytes) -> None:
    """Write all of it: one call of an unbuffered file may take less."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]

"""Checkpoints: tensors and plain values in a folder, with a manifest of sizes and checksums.

`manifest.json` is written last and names the files that belong together, so that a folder always holds
one whole checkpoint, and a changed byte is noticed. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from genophen.errors import DamagedError
from genophen.storage.files import canonical_json
from genophen.storage.guard import GuardedPath

MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 2**20
_MEMORY_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
_CHECKPOINT_NAME = re.compile(r"round-\d{5,}-step-\d{5,}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: What genophen makes, and therefore may remove: files in a checkpoint's folder, and folders of such that it
#: was writing or removing.
_OWN_FILES = re.compile(r"(\.?(state|test|round-\d{5,})\.(safetensors|json)|\.?manifest\.json)(\.part)?")
_OWN_LEFTOVERS = re.compile(r"\.round-\d{5,}-step-\d{5,}\.(part|[0-9a-f]{6}\.old)")


def save_checkpoint(
    folder: GuardedPath, tag: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Replace the checkpoint in `folder` by this one; `tag`, unlike the last one's, names its files."""
    folder.make_folder()
    # Copies: safetensors takes no shared storage, and tied tensors share theirs.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    contents = _contents(tag, copies, values)
    for name, content in contents.items():
        (folder / name).write(content)
    for name in folder.names():
        if name not in contents and _OWN_FILES.fullmatch(name):
            (folder / name).unlink()


def load_checkpoint(folder: GuardedPath) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the values that were saved.

    Raises:
        DamagedError: where any byte of it is not as it was written, or a part is missing.
    """
    contents = _verified_contents(folder)
    try:
        tensors = next(load(content) for name, content in contents.items() if name.endswith(".safetensors"))
        values = next(json.loads(content) for name, content in contents.items() if name.endswith(".json"))
    except (StopIteration, ValueError, RecursionError) as error:
        raise _damaged(folder, f"its parts cannot be read: {error}") from None
    except Exception as error:  # safetensors' own error class derives from Exception alone
        raise _damaged(folder, f"its tensors cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise _damaged(folder, "its values are no table")
    return tensors, values


def stored_bytes(folder: GuardedPath) -> int:
    """Bytes in the files of a checkpoint's folder."""
    return sum((folder / name).size() for name in folder.names() if _OWN_FILES.fullmatch(name))


class Checkpoints:
    """The checkpoints of one run: a folder each below `folder`, of which the last two are kept."""

    def __init__(self, folder: GuardedPath) -> None:
        self.folder = folder
        #: The one that the next one follows.
        self.current = ""

    def names(self) -> list[str]:
        """All that are there, the oldest first."""
        found = [name for name in self.folder.names() if _CHECKPOINT_NAME.fullmatch(name)]
        return sorted(found, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and values of one checkpoint; a DamagedError where any byte of it has changed."""
        return load_checkpoint(self.folder / name)

    def follow(self, name: str) -> None:
        """Let the next checkpoint follow this one, and remove those that came after it.

        Raises:
            DamagedError: where one of these cannot be removed, since it holds what genophen did not make.
        """
        later = self.names()[self.names().index(name) + 1 :]
        self._drop(later)
        if kept := [other for other in later if other in self.names()]:
            raise _in_the_way(self.folder / kept[0])
        self.current = name

    def save(self, name: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Add a checkpoint, whole or not at all, and keep none beside it but the one that it follows.

        `tensors` are on the CPU, contiguous, and share no storage.

        Raises:
            OSError: where it cannot be written; those that were there are untouched.
            DamagedError: where something stands in its place that genophen did not make.
        """
        partial = self.folder / f".{name}.part"
        self.folder.make_folder()
        if not partial.remove(_OWN_FILES):
            raise _in_the_way(partial)
        if (self.folder / name).is_folder():
            raise _in_the_way(self.folder / name)
        try:
            partial.make_folder()
            for file, content in _contents("state", tensors, values).items():
                (partial / file).create(content)
            partial.sync()
            partial.rename(name)
            self.folder.sync()
        except OSError:
            partial.remove(_OWN_FILES)
            raise
        self._drop([other for other in self.names() if other not in (name, self.current)])
        self.current = name

    def _drop(self, names: list[str]) -> None:
        """Remove checkpoints, each hidden first, so that what is left of one is not taken for one.

        One that holds anything else is left as it is.
        """
        for name in names:
            if self._is_own(name):
                (self.folder / name).rename(f".{name}.{secrets.token_hex(3)}.old")
        for name in self.folder.names():
            if _OWN_LEFTOVERS.fullmatch(name) and self._is_own(name):  # of this process, or a killed one
                with suppress(OSError):
                    (self.folder / name).remove(_OWN_FILES)

    def _is_own(self, name: str) -> bool:
        try:
            return (self.folder / name).holds_only(_OWN_FILES)
        except DamagedError:  # a link, a file
            return False


def _contents(tag: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a checkpoint by name, the manifest last."""
    contents = {f"{tag}.safetensors": save(dict(tensors)), f"{tag}.json": canonical_json(values)}
    files = {name: _fingerprint(content) for name, content in contents.items()}
    return {**contents, MANIFEST: _manifest(files)}


def _fingerprint(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _manifest(files: Mapping[str, Any]) -> bytes:
    """The manifest's text, which carries the digest of its own list."""
    digest = hashlib.sha256(canonical_json(files)).hexdigest()
    return canonical_json({"digest": digest, "files": files, "format": 1})


def _verified_contents(folder: GuardedPath) -> dict[str, bytes]:
    manifest = _read(folder / MANIFEST, _MAX_MANIFEST_BYTES)
    try:
        files = dict(json.loads(manifest)["files"])
        # Byte for byte what would be written for these files: any change shows, even one that JSON ignores.
        intact = manifest == _manifest(files)
    except (ValueError, KeyError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise _damaged(folder, f"{MANIFEST} has been changed")
    return {name: _verified_file(folder, name, fingerprint) for name, fingerprint in files.items()}


def _verified_file(folder: GuardedPath, name: str, fingerprint: object) -> bytes:
    if not _FILE_NAME.fullmatch(name):
        raise _damaged(folder, f"{MANIFEST} names the file {name!r}, which is not a plain file name")
    size = fingerprint.get("bytes") if isinstance(fingerprint, dict) else None
    content = _read(folder / name, min(size, _MEMORY_BYTES) if type(size) is int else 0)
    if _fingerprint(content) != fingerprint:
        raise _damaged(folder, f"{name} does not have the SHA-256 that {MANIFEST} gives")
    return content


def _read(file: GuardedPath, limit: int) -> bytes:
    try:
        return file.read_bytes(limit)
    except OSError as error:
        found = error.strerror or str(error)
    except MemoryError:
        found = "it is larger than the memory"
    except ValueError as error:
        found = str(error)
    except DamagedError as error:
        raise _damaged(file.parent, error.found) from None
    raise _damaged(file.parent, f"{file.name} cannot be read: {found}")


def _in_the_way(folder: GuardedPath) -> DamagedError:
    return DamagedError(
        f"cannot replace the checkpoint {folder}",
        found="it holds something that genophen did not make, and does not remove",
        allowed="the files of a checkpoint alone",
        next_step="move what is yours elsewhere",
    )


def _damaged(folder: GuardedPath, found: str) -> DamagedError:
    return DamagedError(
        f"cannot load the checkpoint {folder}",
        found=found,
        allowed="files exactly as genophen wrote them",
        next_step="restore the folder from a copy, or train again: genophen run "
        f"{folder.parent / 'config.toml'}",
    )

"""Checkpoints: tensors and plain values in a folder, with a manifest that gives every byte away.

`manifest.json` is written last and names the files that belong together, so that a folder always holds
one whole checkpoint. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from genophen.errors import DamagedError

MANIFEST = "manifest.json"
_CHECKPOINT_NAME = re.compile(r"round-\d{5,}-step-\d{5,}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def save_checkpoint(folder: Path, tag: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replace the checkpoint in `folder` by this one; `tag`, unlike the last one's, names its files."""
    folder.mkdir(parents=True, exist_ok=True)
    # Copies: safetensors takes no shared storage, and tied tensors share theirs.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    contents = _contents(tag, copies, values)
    for name, content in contents.items():
        write_file(folder / name, content)
    for leftover in folder.iterdir():
        if leftover.name not in contents and leftover.is_file():
            leftover.unlink()


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
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


class Checkpoints:
    """The checkpoints of one run: a folder each below `folder`, of which the last two are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: The one that the next one follows.
        self.current = ""

    def names(self) -> list[str]:
        """All that are there, the oldest first."""
        if not self.folder.exists():
            return []
        found = [path.name for path in self.folder.iterdir() if _CHECKPOINT_NAME.fullmatch(path.name)]
        return sorted(found, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and values of one checkpoint; a DamagedError where any byte of it has changed."""
        return load_checkpoint(self.folder / name)

    def follow(self, name: str) -> None:
        """Let the next checkpoint follow this one, and remove those that came after it."""
        self._drop(self.names()[self.names().index(name) + 1 :])
        self.current = name

    def save(self, name: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Add a checkpoint, whole or not at all, and keep none beside it but the one that it follows.

        `tensors` are on the CPU, contiguous, and share no storage.

        Raises:
            OSError: where it cannot be written; those that were there are untouched.
        """
        partial = self.folder / f".{name}.part"
        try:
            self.folder.mkdir(exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for file, content in _contents("state", tensors, values).items():
                _write_synced(partial / file, content)
            _sync_folder(partial)
            partial.rename(self.folder / name)
            _sync_folder(self.folder)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self._drop([other for other in self.names() if other not in (name, self.current)])
        self.current = name

    def _drop(self, names: list[str]) -> None:
        """Remove checkpoints, each hidden first, so that what is left of one is not taken for one."""
        for name in names:
            (self.folder / name).rename(self.folder / f".{name}.{secrets.token_hex(3)}.old")
        for path in self.folder.iterdir():
            if path.name.startswith("."):  # of this or an earlier process, which was killed
                shutil.rmtree(path, ignore_errors=True)


def canonical_json(value: object) -> bytes:
    """The one JSON text for a value: sorted keys, no white space, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode()


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it holds either its old or its new content, whole."""
    partial = path.with_name(f".{path.name}.part")
    try:
        _write_synced(partial, content)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the names of a folder's files to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def _verified_contents(folder: Path) -> dict[str, bytes]:
    try:
        manifest = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise _damaged(folder, f"{MANIFEST} cannot be read: {error.strerror}") from None
    try:
        files = dict(json.loads(manifest)["files"])
        # Byte for byte what would be written for these files: any change shows, even one that JSON ignores.
        intact = manifest == _manifest(files)
    except (ValueError, KeyError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise _damaged(folder, f"{MANIFEST} has been changed")
    return {name: _verified_file(folder, name, fingerprint) for name, fingerprint in files.items()}


def _verified_file(folder: Path, name: str, fingerprint: object) -> bytes:
    if not _FILE_NAME.fullmatch(name):
        raise _damaged(folder, f"{MANIFEST} names the file {name!r}, which is not a plain file name")
    if (folder / name).is_symlink():
        raise _damaged(folder, f"{name} is a link to another place")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise _damaged(folder, f"{name} cannot be read: {error.strerror}") from None
    if _fingerprint(content) != fingerprint:
        raise _damaged(folder, f"{name} does not have the SHA-256 that {MANIFEST} gives")
    return content


def _damaged(folder: Path, found: str) -> DamagedError:
    return DamagedError(
        f"cannot load the checkpoint {folder}",
        found=found,
        allowed="files exactly as genophen wrote them",
        next_step="restore the folder from a copy, or train again: genophen run "
        f"{folder.parent / 'config.toml'}",
    )

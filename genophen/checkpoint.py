"""Checkpoints: tensors and plain values in a folder, with a manifest that gives every byte away.

`manifest.json` is written last and names the files that belong together, so that a folder always holds
one whole checkpoint, the old one or the new. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from genophen.errors import DamagedError

MANIFEST = "manifest.json"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def save_checkpoint(folder: Path, tag: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replace the checkpoint in `folder` by this one; `tag`, unlike the last one's, names its files."""
    folder.mkdir(parents=True, exist_ok=True)
    # Copies: safetensors takes no shared storage, and tied tensors share theirs.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    contents = {f"{tag}.safetensors": save(copies), f"{tag}.json": canonical_json(values)}
    for name, content in contents.items():
        write_file(folder / name, content)
    files = {name: _fingerprint(content) for name, content in contents.items()}
    write_file(folder / MANIFEST, _manifest(files))
    for leftover in folder.iterdir():
        if leftover.name not in contents and leftover.name != MANIFEST and leftover.is_file():
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
    except (StopIteration, ValueError) as error:
        raise _damaged(folder, f"its parts cannot be read: {error}") from None
    except Exception as error:  # safetensors' own error class derives from Exception alone
        raise _damaged(folder, f"its tensors cannot be read: {error}") from None
    return tensors, values


def canonical_json(value: object) -> bytes:
    """The one JSON text for a value: sorted keys, no white space, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode()


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it holds either its old or its new content, whole."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


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

"""Checkpoints: whole or refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

import genophen
from genophen.storage.checkpoint import MANIFEST, load_checkpoint, save_checkpoint
from genophen.storage.guard import GuardedPath


def guarded(folder: Path) -> GuardedPath:
    return GuardedPath(folder.parent) / folder.name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shared = torch.arange(6.0).view(2, 3)
    tensors = {"a": shared, "tied": shared, "b": torch.tensor([1, 2]), "view": shared.T}
    save_checkpoint(GuardedPath(tmp_path) / "best", "round-00003", tensors, {"round": 3, "accuracy": 0.5})
    return tmp_path / "best"


def test_what_is_saved_is_loaded(folder: Path) -> None:
    tensors, values = load_checkpoint(guarded(folder))
    assert torch.equal(tensors["a"], torch.arange(6.0).view(2, 3))
    assert torch.equal(tensors["view"], tensors["tied"].T)
    assert tensors["b"].dtype == torch.int64
    assert values == {"round": 3, "accuracy": 0.5}


def test_a_newer_checkpoint_replaces_the_older(folder: Path) -> None:
    save_checkpoint(guarded(folder), "round-00004", {"a": torch.zeros(1)}, {"round": 4})
    assert load_checkpoint(guarded(folder))[1] == {"round": 4}
    assert sorted(path.name for path in folder.iterdir()) == [
        MANIFEST,
        "round-00004.json",
        "round-00004.safetensors",
    ]


def test_a_crash_before_the_manifest_leaves_the_older_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = GuardedPath.write

    def crash(self: GuardedPath, content: bytes) -> None:
        if self.name == MANIFEST:
            raise OSError("no space left")
        write(self, content)

    monkeypatch.setattr(GuardedPath, "write", crash)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(guarded(folder), "round-00004", {"a": torch.zeros(1)}, {"round": 4})
    assert load_checkpoint(guarded(folder))[1]["round"] == 3


def test_any_changed_byte_is_refused(folder: Path) -> None:
    draws = random.Random(0)
    for file in sorted(folder.iterdir()):
        original = file.read_bytes()
        for position in draws.sample(range(len(original)), min(len(original), 100)):
            changed = bytearray(original)
            changed[position] ^= 1 << draws.randrange(8)
            file.write_bytes(changed)
            with pytest.raises(genophen.DamagedError, match="cannot load the checkpoint") as caught:
                load_checkpoint(guarded(folder))
            assert caught.value.exit_code == 4
        file.write_bytes(original)
    load_checkpoint(guarded(folder))


@pytest.mark.parametrize("name", [MANIFEST, "round-00003.json", "round-00003.safetensors"])
def test_a_missing_or_truncated_file_is_named(folder: Path, name: str) -> None:
    file = folder / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(genophen.DamagedError, match=name.replace(".", r"\.")):
        load_checkpoint(guarded(folder))
    file.unlink()
    with pytest.raises(genophen.DamagedError, match=f"{name} cannot be read: No such file"):
        load_checkpoint(guarded(folder))


def test_a_manifest_cannot_point_outside_its_folder(folder: Path) -> None:
    from genophen.storage import checkpoint

    outside = folder.parent / "secret.json"
    outside.write_text("{}")
    files = {"../secret.json": checkpoint._fingerprint(outside.read_bytes())}
    (folder / MANIFEST).write_bytes(checkpoint._manifest(files))
    with pytest.raises(genophen.DamagedError, match="not a plain file name"):
        load_checkpoint(guarded(folder))

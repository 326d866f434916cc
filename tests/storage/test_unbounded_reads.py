"""Files without an end, or with one too far away: no command reads them, hangs, or runs out of memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile import ask, is_harmless
from noisy_runs import NOISY, interrupt_at, noisy_tables, run
from test_strange_folders import time_limit

from genophen.config.toml import write_toml
from genophen.storage import checkpoint


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run(noisy_tables(rounds=1), folder / "RUN", interrupt_at(3))
    run(noisy_tables(rounds=1), folder / "OTHER")
    run(noisy_tables(rounds=1) | {"optimizer": {"name": "sgd"}}, folder / "THIRD")
    return folder


def sparse(file: Path, size: int = 30 * 2**30) -> None:
    """A file of that size, which takes no room on the disk."""
    file.unlink(missing_ok=True)
    file.touch()
    os.truncate(file, size)


def device(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.symlink_to("/dev/zero")


def pipe(file: Path) -> None:
    file.unlink(missing_ok=True)
    os.mkfifo(file)


ENDLESS = [device, pipe, sparse]


def refused(code: int, *arguments: object) -> str:
    with time_limit():
        answer = ask(*arguments)
    assert answer.code == code, answer
    assert "Error: " in answer.err
    assert "Traceback" not in answer.err
    assert "should not happen" not in answer.err
    assert is_harmless(answer.err)
    return answer.err


#: Files of a run that a command reads, and the exit code if one of them is as large as no such file is.
READ = {
    ("resume", "RUN", "--quiet"): {
        "config.toml": 2,
        "environment.json": 4,
        "checkpoints/round-00000-step-00002/manifest.json": 4,
        "checkpoints/round-00000-step-00002/state.json": 4,
        "checkpoints/round-00000-step-00002/state.safetensors": 4,
    },
    ("evaluate", "OTHER"): {"config.toml": 2, "best/manifest.json": 4, "best/round-00000.safetensors": 4},
    ("export", "OTHER", "--format", "safetensors"): {"config.toml": 2, "best/manifest.json": 4},
    ("compare", "OTHER", "THIRD", "--no-bootstrap"): {
        "result.json": 4,
    },
    ("report", "OTHER", "--no-images"): {"config.toml": 2, "result.json": 4, "metrics.jsonl": 4},
}


@pytest.mark.parametrize(("command", "codes"), READ.items(), ids=[command[0] for command in READ])
def test_a_sparse_file_in_a_run_is_not_read(
    command: tuple[str, ...], codes: dict[str, int], made: Path
) -> None:
    for name, code in codes.items():
        shutil.copytree(made, ".", dirs_exist_ok=True)
        sparse(Path(command[1], name))
        assert "bytes" in refused(code, *command, "--plugin", NOISY)


def test_a_sealed_manifest_cannot_ask_for_more_than_the_memory(made: Path) -> None:
    shutil.copytree(made / "RUN", "RUN")
    (folder,) = Path("RUN/checkpoints").iterdir()
    size = checkpoint._MEMORY_BYTES + 2**30
    sparse(folder / "state.safetensors", size)
    files = {"state.safetensors": {"bytes": size, "sha256": "0" * 64}}
    (folder / "manifest.json").write_bytes(checkpoint._manifest(files))
    assert "state.safetensors cannot be read: it has more than" in refused(
        4, "resume", "RUN", "--plugin", NOISY
    )


@pytest.mark.parametrize("make", ENDLESS)
def test_files_that_the_user_names_have_an_end(make: Callable[[Path], None], made: Path) -> None:
    for name in ("config.toml", "sweep.toml", "comparison.toml", "plugin.py"):
        make(Path(name))
    refused(2, "run", "config.toml")
    refused(2, "params", "config.toml")
    refused(2, "sweep", "sweep.toml", "--out", "SWEEP")
    refused(2, "compare", "comparison.toml")
    Path("config.toml").unlink()
    Path("config.toml").write_text(write_toml(noisy_tables()))
    refused(5, "run", "config.toml", "--plugin", "plugin.py")
    assert not Path("runs").exists()

"""The run directory: one folder a training, made fresh and never overwritten."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor, nn

from genophen.errors import ConfigError, DamagedError, GenophenError
from genophen.storage.checkpoint import Checkpoints, load_checkpoint, save_checkpoint, write_file
from genophen.storage.records import read_result

#: Statuses of `result.json` with which a run is over; an interrupted one goes on.
FINISHED = ("completed", "stopped-early", "diverged")
_LOCK = ".lock"


class RunDirectory:
    """Writes and reads the files of one run."""

    def __init__(self, path: Path, made: bool = False) -> None:
        """`made`: the folder did not exist before this run."""
        self.path, self.made = path, made
        self.config = path / "config.toml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.timings = path / "timings.jsonl"
        self.result = path / "result.json"
        self.best = path / "best"
        self.checkpoints = Checkpoints(path / "checkpoints")
        self._lock = FileLock(path / _LOCK)

    @classmethod
    @contextmanager
    def create(cls, out: Path | None, config_name: str, config_toml: str) -> Iterator[RunDirectory]:
        """A new run directory with its config, locked inside the block: `out`, or a fresh one below `runs/`.

        Raises:
            ConfigError: for an `out` that already holds something, or that another process is filling.
            GenophenError: for a place that cannot be written.
        """
        path = Path("runs") / _fresh_name(config_name) if out is None else out
        try:
            made = not path.exists()
            path.mkdir(parents=True, exist_ok=out is not None)
        except OSError as error:
            raise _cannot_write(path, error) from None
        check_free(path)
        run = cls(path, made)
        with run.locked():
            check_free(path)  # nobody else has filled it in between
            try:
                write_file(run.config, config_toml.encode())
            except OSError as error:
                raise _cannot_write(path, error) from None
            yield run

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process train in this directory inside the block.

        Raises:
            ConfigError: where one does already.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(
                f"cannot train in {self.path}",
                found="another process is training in it",
                next_step="wait for it, or end it (the first Ctrl-C saves a checkpoint)",
            ) from None
        except OSError as error:
            raise _cannot_write(self.path, error) from None
        try:
            yield
        finally:
            self._lock.release()

    def discard(self) -> None:
        """Take back what `create` made, for a run that failed before its first round."""
        with suppress(OSError):
            shutil.rmtree(self.checkpoints.folder, ignore_errors=True)
            for file in self.path.iterdir():
                file.unlink()
            if self.made:
                self.path.rmdir()

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run directory.

        Raises:
            ConfigError: where `path` is none.
        """
        run = cls(path)
        if not run.config.is_file():
            raise ConfigError(
                f"cannot open the run directory {path}",
                found=_what_is_at(path),
                next_step=_run_instead(path),
            )
        return run

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Turn a full disk and the like inside the block into a GenophenError that says what to do."""
        try:
            yield
        except OSError as error:
            raise GenophenError(
                f"cannot write {path}",
                found=error.strerror or str(error),
                next_step="make room, or the folder writable, and go on from the last checkpoint: "
                f"genophen resume {self.path}",
            ) from error

    def begin_again(self, config_toml: str | None) -> None:
        """Take the result back, and replace the config where the run is extended."""
        with self.writing(self.path):
            self.result.unlink(missing_ok=True)
            if config_toml is not None:
                write_file(self.config, config_toml.encode())

    def finished(self) -> dict[str, Any] | None:
        """What `result.json` says once the run is over; None before."""
        try:
            result = read_result(self.result)
        except (OSError, ValueError):
            return None
        return result if result["status"] in FINISHED else None

    def write_json(self, path: Path, value: Mapping[str, Any]) -> None:
        with self.writing(path):
            write_file(path, (json.dumps(value, indent=2) + "\n").encode())

    def append(self, path: Path, row: Mapping[str, Any]) -> None:
        """Add one row to a `.jsonl` file."""
        with self.writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def sizes(self) -> dict[str, int]:
        """The bytes in each `.jsonl` file, which are on the disk once this returns."""
        sizes = {}
        for path in (self.metrics, self.timings):
            with self.writing(path), path.open("ab") as file:
                os.fsync(file.fileno())
                sizes[path.name] = file.tell()
        return sizes

    def replaceable_bytes(self) -> int:
        """Bytes in checkpoints and best weights, which newer ones will replace."""
        folders = (self.checkpoints.folder, self.best)
        return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())

    def cut_back(self, sizes: Mapping[str, int]) -> None:
        """Drop what was written to the `.jsonl` files after `sizes` were taken.

        Raises:
            DamagedError: where a file has lost rows that were there then.
        """
        for path in (self.metrics, self.timings):
            size = path.stat().st_size if path.exists() else 0
            if size < sizes[path.name]:
                raise DamagedError(
                    f"cannot continue {path}",
                    found=f"it has {size} bytes",
                    allowed=f"the {sizes[path.name]} bytes that the checkpoint goes on from, or more",
                    next_step=f"restore the file from a copy, or train again: genophen run {self.config}",
                )
            if size:
                with self.writing(path):
                    os.truncate(path, sizes[path.name])

    def save_best(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Keep the phenotype's state of a round, `values["round"]`, as the best so far."""
        with self.writing(self.best):
            save_checkpoint(self.best, f"round-{values['round']:05}", tensors, values)

    def load_best(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The phenotype's state of the best round; a DamagedError where it is absent or changed."""
        tensors, values = load_checkpoint(self.best)
        if not isinstance(values.get("round"), int):
            raise DamagedError(f"cannot load the checkpoint {self.best}", found="it does not say its round")
        return tensors, values


def check_free(path: Path) -> None:
    """Raise a ConfigError where `path` cannot become a run directory because something is there."""
    if path.exists() and (not path.is_dir() or any(file.name != _LOCK for file in path.iterdir())):
        raise ConfigError(
            f"cannot make the run directory {path}",
            found="it is not empty; a run never overwrites another" if path.is_dir() else "it is a file",
            allowed="a folder that is absent or empty",
            next_step="choose another --out, or leave it out for a fresh folder below runs/",
        )


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a run directory, or of a sweep's folder."""
    if not (folder / _LOCK).exists():
        return False
    try:
        with FileLock(folder / _LOCK).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # it cannot be told
        return False


def _what_is_at(path: Path) -> str:
    if path.is_dir():
        return "it has no config.toml"
    return "it is a file" if path.exists() else "there is no such folder"


def _run_instead(path: Path) -> str:
    """What to do where a path is no run directory."""
    if (path / "sweep.toml").is_file():
        return (
            f"it is a sweep: `genophen sweep {path}/sweep.toml --out {path}` goes on with it; "
            f"its runs are in {path}/trials"
        )
    if path.is_file() and path.suffix == ".toml":
        return f"genophen run {path} trains what it describes"
    runs = [config.parent for config in path.glob("*/config.toml")]
    if runs:
        return f"name a run in it, such as {max(runs, key=lambda run: run.stat().st_mtime)}"
    return "give the folder that `genophen run` printed, such as runs/<time>-<name>-<suffix>"


def _cannot_write(path: Path, error: OSError) -> GenophenError:
    return GenophenError(
        f"cannot write in the run directory {path}",
        found=error.strerror or str(error),
        next_step="make the folder writable, or choose another place: --out DIR",
    )


def load_state(phenotype: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Put a saved state into a phenotype built from the same config.

    Raises:
        DamagedError: where names or shapes are not the phenotype's.
    """
    try:
        phenotype.load_state_dict(tensors)
    except RuntimeError as error:
        raise DamagedError(
            f"cannot use the checkpoint {source}",
            found=" ".join(str(error).split()),
            allowed="the state of the network that the run's config.toml describes",
            next_step="has config.toml, or a plugin that it uses, changed since the run?",
        ) from None


def plain_name(name: str) -> str:
    """A name as a folder may have it: letters, digits and a few signs, at most 100 characters."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", name)[:100]


def _fresh_name(config_name: str) -> str:
    return f"{datetime.now():%Y%m%d-%H%M%S}-{plain_name(config_name)}-{secrets.token_hex(3)}"

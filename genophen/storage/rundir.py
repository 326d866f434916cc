"""The run directory: one folder a training, made fresh and never overwritten."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from genophen.errors import ConfigError, DamagedError, GenophenError, listed
from genophen.storage.checkpoint import Checkpoints, load_checkpoint, save_checkpoint, stored_bytes
from genophen.storage.files import writing
from genophen.storage.guard import GuardedPath
from genophen.storage.locking import LOCK, lock
from genophen.storage.reading import UnreadableError, read_result
from genophen.storage.records import ENDED

#: Statuses of `result.json` with which a run is over; an interrupted one goes on.
FINISHED = (*ENDED, "diverged")
#: In a trial's folder: how its last attempt failed.
FAILURE = "failure.json"
#: What genophen may leave in a folder before there is a config in it: the next run there takes it over.
_LEFT = (LOCK, ".config.toml.part", FAILURE, f".{FAILURE}.part")


class RunDirectory:
    """Writes and reads the files of one run, and nothing through a link."""

    def __init__(self, path: Path, made: bool = False) -> None:
        """`made`: the folder did not exist before this run."""
        self.path, self.made = path, made
        self.folder = GuardedPath(path)
        self.config = self.folder / "config.toml"
        self.environment = self.folder / "environment.json"
        self.metrics = self.folder / "metrics.jsonl"
        self.timings = self.folder / "timings.jsonl"
        self.growth = self.folder / "growth.jsonl"  # of a growing genotype
        self.result = self.folder / "result.json"
        self.best = self.folder / "best"
        self.checkpoints = Checkpoints(self.folder / "checkpoints")

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
                for name in _LEFT[1:]:
                    (run.folder / name).unlink()
                run.config.write(config_toml.encode())
            except OSError as error:
                raise _cannot_write(path, error) from None
            yield run

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process train in this directory inside the block.

        Raises:
            ConfigError: where one does already.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(lock(self.folder))
            except BlockingIOError:
                raise ConfigError(
                    f"cannot train in {self.path}",
                    found="another process is training in it",
                    next_step="wait for it, or end it (the first Ctrl-C saves a checkpoint)",
                ) from None
            except OSError as error:
                raise _cannot_write(self.path, error) from None
            yield

    def discard(self) -> None:
        """Take back what `create` made, for a run that failed before its first round."""
        with suppress(OSError, DamagedError):
            # The config last but for the lock: a folder that has one can be resumed.
            for file in (self.environment, self.folder / f".{self.environment.name}.part", self.config):
                file.unlink()
            (self.folder / LOCK).unlink()
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
            found, next_step = _what_is_at(path), _run_instead(path)
            raise ConfigError(f"cannot open the run directory {path}", found=found, next_step=next_step)
        return run

    @contextmanager
    def writing(self, path: Path | GuardedPath) -> Iterator[None]:
        """Turn a full disk and the like inside the block into a GenophenError that says what to do."""
        next_step = "make room, or the folder writable, and go on from the last checkpoint: "
        with writing(path, f"{next_step}genophen resume {self.path}"):
            yield

    def begin_again(self, config_toml: str | None) -> None:
        """Take the result back, and replace the config where the run is extended."""
        with self.writing(self.path):
            self.result.unlink()
            if config_toml is not None:
                self.config.write(config_toml.encode())

    def finished(self) -> dict[str, Any] | None:
        """What `result.json` says once the run is over; None before."""
        try:
            result = read_result(self.result)
        except UnreadableError:
            return None
        return result if result["status"] in FINISHED else None

    def write_json(self, file: GuardedPath, value: Mapping[str, Any]) -> None:
        with self.writing(file):
            file.write((json.dumps(value, indent=2) + "\n").encode())

    def append(self, file: GuardedPath, row: Mapping[str, Any]) -> None:
        """Add one row to a `.jsonl` file."""
        with self.writing(file):
            file.append((json.dumps(row, allow_nan=False) + "\n").encode())

    def sizes(self) -> dict[str, int]:
        """The bytes in each `.jsonl` file, which are on the disk once this returns."""
        sizes = {}
        for file in (self.metrics, self.timings, *([self.growth] if self.growth.is_file() else [])):
            with self.writing(file):
                sizes[file.name] = file.synced_size()
        return sizes

    def replaceable_bytes(self) -> int:
        """Bytes in checkpoints and best weights, which newer ones will replace."""
        checkpoints = [self.checkpoints.folder / name for name in self.checkpoints.names()]
        return sum(stored_bytes(folder) for folder in (*checkpoints, self.best))

    def cut_back(self, sizes: Mapping[str, int]) -> None:
        """Drop what was written to the `.jsonl` files after `sizes` were taken.

        Raises:
            DamagedError: where a file has lost rows that were there then.
        """
        for file in (self.metrics, self.timings, self.growth):
            size, kept = file.size(), sizes.get(file.name, 0)
            if size < kept:
                raise DamagedError(
                    f"cannot continue {file}",
                    found=f"it has {size} bytes",
                    allowed=f"the {kept} bytes that the checkpoint goes on from, or more",
                    next_step=f"restore the file from a copy, or train again: genophen run {self.config}",
                )
            if size:
                with self.writing(file):
                    file.truncate(kept)

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
    if path.exists() and not path.is_dir():
        found = "it is a file"
    elif there := [name for name in GuardedPath(path).names() if name not in _LEFT]:
        found = f"it is not empty; a run never overwrites another (there: {listed(there[:5])})"
    else:
        return
    raise ConfigError(
        f"cannot make the run directory {path}",
        found=found,
        allowed="a folder that is absent or empty",
        next_step="choose another --out, or leave it out for a fresh folder below runs/",
    )


def trial_directory(sweep: Path, name: str) -> Path:
    """The run directory of a trial in a sweep's folder.

    Raises:
        DamagedError: where a link or a file stands there.
    """
    folder = GuardedPath(sweep) / "trials" / name
    folder.is_folder()
    return folder.path


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


def load_state(phenotype: nn.Module, tensors: Mapping[str, Tensor], source: GuardedPath) -> None:
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

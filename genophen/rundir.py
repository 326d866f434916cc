"""The run directory: one folder a training, made fresh and never overwritten."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from genophen.checkpoint import load_checkpoint, save_checkpoint, write_file
from genophen.errors import ConfigError, DamagedError, GenophenError


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

    @classmethod
    def create(cls, out: Path | None, config_name: str) -> RunDirectory:
        """A new run directory: `out`, absent or empty, or a fresh folder below `runs/`.

        Raises:
            ConfigError: for an `out` that already holds something.
            GenophenError: for a place that cannot be written.
        """
        path = Path("runs") / _fresh_name(config_name) if out is None else out
        attempted = f"cannot make the run directory {path}"
        try:
            made = not path.exists()
            path.mkdir(parents=True, exist_ok=out is not None)
            taken = any(path.iterdir())
            with suppress(FileExistsError):
                if not taken:  # whoever makes this file first has the folder
                    taken = True
                    (path / "config.toml").open("x").close()
                    taken = False
            if taken:
                raise _taken(path)
        except OSError as error:
            raise GenophenError(
                attempted, found=error.strerror or str(error), next_step="choose a place to write: --out DIR"
            ) from None
        return cls(path, made)

    def discard(self) -> None:
        """Take back what `create` made, for a run that failed before its first round."""
        with suppress(OSError):
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
                found="it has no config.toml" if path.is_dir() else "there is no such folder",
                next_step="give the folder that `genophen run` printed, such as runs/<time>-<name>-<suffix>",
            )
        return run

    def write_json(self, path: Path, value: Mapping[str, Any]) -> None:
        write_file(path, (json.dumps(value, indent=2) + "\n").encode())

    def append(self, path: Path, row: Mapping[str, Any]) -> None:
        """Add one row to a `.jsonl` file."""
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def save_best(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Keep the phenotype's state of a round, `values["round"]`, as the best so far."""
        save_checkpoint(self.best, f"round-{values['round']:05}", tensors, values)

    def load_best(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The phenotype's state of the best round; a DamagedError where it is absent or changed."""
        tensors, values = load_checkpoint(self.best)
        if not isinstance(values, dict) or not isinstance(values.get("round"), int):
            raise DamagedError(f"cannot load the checkpoint {self.best}", found="it does not say its round")
        return tensors, values


def check_free(path: Path) -> None:
    """Raise a ConfigError where `path` cannot become a run directory because something is there."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise _taken(path)


def _taken(path: Path) -> ConfigError:
    return ConfigError(
        f"cannot make the run directory {path}",
        found="it is not empty; a run never overwrites another" if path.is_dir() else "it is a file",
        allowed="a folder that is absent or empty",
        next_step="choose another --out, or leave it out for a fresh folder below runs/",
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

"""Reading sweep files.

A sweep file has a base config, rows that change it, and seeds:

    base = "../mnist.toml"              # or the tables themselves, under [config]
    seeds = [0, 1, 2]

    [rows.Hyper4_4]                     # a row: config tables laid over the base
    genotype.hypernetwork = { embedding_dim = 4, projection_dim = 4 }
    published = { test_accuracy = 0.9812, kernel_parameters = 4244 }

    [grid]                              # instead of rows, or within each: every combination
    optimizer.adam.learning_rate = [0.003, 0.004]

Where a setting is text, `{seed}` in it stands for the trial's seed. With `baselines = ["start", "random"]`
each row gets further rows that it is to be compared with: those of these names that its optimizer has.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from genophen.config.config import SECTIONS
from genophen.config.toml import assign, flattened, override, read_toml
from genophen.contracts.options import Options, read_options, shown
from genophen.errors import ConfigError, Problem, listed, nearest, printable
from genophen.storage.guard import GuardedPath
from genophen.storage.rundir import plain_name

#: More are a slip of the hand: a grid grows by multiplication.
MAX_TRIALS = 10_000
#: A sweep's name becomes the name of files.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{,99}")


class Published(Options):
    """What others measured for a row."""

    test_accuracy: float | None = Field(None, ge=0, le=1, description="a fraction")
    test_score: float | None = Field(None, description="the same of other tasks, in the task's measure")
    kernel_parameters: int | None = Field(None, ge=0, description="as printed there")
    erratum: str | None = Field(None, description="what is wrong with the printed numbers")

    @property
    def score(self) -> float | None:
        """In the task's measure, whichever way it was given."""
        return self.test_accuracy if self.test_score is None else self.test_score


@dataclass(frozen=True)
class Row:
    """One line of the table: a config, and the seeds it is run with."""

    name: str
    tables: dict[str, Any]
    seeds: tuple[int, ...]
    published: Published
    #: The row that this one is a baseline of, if it is one.
    baseline_of: str = ""

    def trial_name(self, seed: int) -> str:
        return f"{plain_name(self.name)}-seed{seed}"


@dataclass(frozen=True)
class Sweep:
    """A sweep file, its base and its overrides applied."""

    name: str
    title: str
    rows: tuple[Row, ...]
    #: Names of the baselines that rows are to get, by `with_baselines`.
    baselines: tuple[str, ...] = ()


def read_sweep(file: Path | GuardedPath, assignments: Iterable[str] = ()) -> Sweep:
    """Read a sweep file; the assignments `a.b=VALUE` override every row.

    Raises:
        ConfigError: for a file that is no sweep, with every mistake in its structure.
    """
    tables, path = read_toml(file), file if isinstance(file, Path) else file.path
    if not tables.keys() & _KEYS.keys() and tables.keys() & SECTIONS.keys():
        raise ConfigError(
            f"cannot use the sweep {path}",
            found="a config of one run",
            allowed="a file with rows or a grid",
            next_step=f'genophen run {path}; or a sweep file that names it: base = "{path.name}"',
        )
    problems = [_unknown(key) for key in tables if key not in _KEYS]
    if not _NAME.fullmatch(str(tables.get("name", "x"))):
        problems.append(
            Problem("name", f"found {shown(tables['name'])}", "letters, digits, '.', '_' and '-', up to 100")
        )
    for key, kind in _KEYS.items():
        if key in tables and not isinstance(tables[key], kind):
            hint = "tables of the base config stand under [config]" if key == "base" else ""
            problems.append(Problem(key, f"found {shown(tables[key])}", _KIND_NAMES[kind], hint))
    if not problems and not (tables.get("rows") or tables.get("grid")):
        problems.append(Problem("rows", "is missing", "[rows.NAME] tables, or a [grid]"))
    if problems:
        raise ConfigError(f"cannot use the sweep {path}", problems=problems)
    base = read_toml(path.parent / tables["base"]) if "base" in tables else {}
    base = merged(base, tables.get("config", {}))
    seeds = _seeds(tables.get("seeds", [0]), "seeds", path)
    named = tables.get("rows") or {"": {}}
    choices = _grid(tables.get("grid", {}), path)
    _check_count(len(named) * len(choices), path)
    rows = [
        _row(", ".join(part for part in (name, suffix) if part), row, choice, base, seeds, path)
        for name, row in named.items()
        for suffix, choice in choices
    ]
    _check_count(sum(len(row_.seeds) for row_ in rows), path)
    for row_ in rows:
        override(row_.tables, assignments)
    return Sweep(
        str(tables.get("name", plain_name(path.stem))),
        str(tables.get("title", printable(path.stem))),
        tuple(rows),
        tuple(str(name) for name in tables.get("baselines", [])),
    )


_KEYS: dict[str, type] = {
    "name": str,
    "title": str,
    "base": str,
    "config": dict,
    "seeds": list,
    "baselines": list,
    "rows": dict,
    "grid": dict,
}
#: What a row has beside the sections of a config.
_OF_A_ROW = ("published", "seeds", "baseline_of")
_KIND_NAMES: dict[type, str] = {str: "text", dict: "a table", list: "a list"}


def _unknown(key: str) -> Problem:
    """A key that no sweep file has: often a section of the base config."""
    if key in SECTIONS:
        return Problem(key, "a section of a config", next_step=f"it belongs under [config]: [config.{key}]")
    hint = nearest(key, _KEYS)
    return Problem(key, "unknown key", "" if hint else listed(_KEYS), hint)


def merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of `top` laid over those of `base`, key by key; neither is changed."""
    result = {k: merged(v, {}) if isinstance(v, Mapping) else v for k, v in base.items()}
    for key, value in top.items():
        below = result.get(key)
        if isinstance(value, Mapping):
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def _row(
    name: str,
    row: object,
    choice: Mapping[str, Any],
    base: Mapping[str, Any],
    seeds: tuple[int, ...],
    path: Path,
) -> Row:
    if not isinstance(row, dict):
        raise ConfigError(
            f"cannot use the sweep {path}", found=f"rows.{name} = {shown(row)}", allowed="a table"
        )
    published = row.get("published", {})
    own = {key: value for key, value in row.items() if key not in _OF_A_ROW}
    if unknown := [key for key in own if key not in SECTIONS]:
        known = [*SECTIONS, *_OF_A_ROW]
        raise ConfigError(
            f"cannot use the row {name!r} of {path}",
            problems=[Problem(key, "unknown key", listed(known), nearest(key, known)) for key in unknown],
        )
    training = own.get("training", {})
    if not isinstance(training, dict):
        raise ConfigError(
            f"cannot use the row {name!r} of {path}",
            found=f"training = {shown(training)}",
            allowed="a table: [training]",
        )
    if "seed" in training:
        raise ConfigError(
            f"cannot use the row {name!r} of {path}", found="training.seed", next_step="list it under seeds"
        )
    tables = merged(base, own)
    for key, value in choice.items():
        assign(tables, key.split("."), value)
    return Row(
        name,
        tables,
        _seeds(row["seeds"], f"rows.{name}.seeds", path) if "seeds" in row else seeds,
        read_options(
            Published, published if isinstance(published, dict) else {"": 0}, f"rows.{name}.published"
        ),
        str(row.get("baseline_of", "")),
    )


def _check_count(count: int, path: Path) -> None:
    if count > MAX_TRIALS:
        raise ConfigError(
            f"cannot use the sweep {path}", found=f"{count:,} trials", allowed=f"up to {MAX_TRIALS:,}"
        )


def _seeds(value: object, key: str, path: Path) -> tuple[int, ...]:
    valid = isinstance(value, list) and value and all(type(seed) is int and seed >= 0 for seed in value)
    if not valid or len(set(value)) != len(value):  # type: ignore[arg-type, call-overload]
        raise ConfigError(
            f"cannot use the sweep {path}",
            found=f"{key} = {shown(value)}",
            allowed="a list of different whole numbers from 0, such as [0, 1, 2]",
        )
    return tuple(value)  # type: ignore[arg-type]


def _grid(grid: Mapping[str, Any], path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every combination of a grid's values: a name for it, and the values by dotted key."""
    axes = flattened(grid)
    for key, values in axes.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(
                f"cannot use the sweep {path}",
                found=f"grid.{key} = {shown(values)}",
                allowed="a list of values, such as [0.003, 0.004]",
            )
    _check_count(math.prod(map(len, axes.values())), path)
    combinations = []
    for values in itertools.product(*axes.values()):
        choice = dict(zip(axes, values, strict=True))
        name = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in choice.items())
        combinations.append((name, choice))
    return combinations

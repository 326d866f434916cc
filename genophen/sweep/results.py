"""Published results: a sweep's table with all that is needed to believe it and to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genophen.errors import ConfigError
from genophen.storage.files import writing
from genophen.storage.guard import GuardedPath
from genophen.storage.older import settings_of_today
from genophen.storage.reading import read_table
from genophen.sweep.provenance import as_list
from genophen.sweep.sweep import Trial
from genophen.sweep.table import as_markdown

_NOTE = (
    "Test images are looked at once for each trial, with the weights that its settings keep. "
    "Scores are means over seeds; the JSON file beside this one has each seed by itself."
)


def read_results(folder: Path, name: str) -> list[dict[str, Any]]:
    """The lines of `folder/name.json`, an empty list where there is none yet.

    Raises:
        DamagedError: for a file that holds no table.
    """
    file = GuardedPath(folder) / f"{name}.json"
    return read_table(file) if file.is_file() else []


def check_same_settings(lines: Sequence[Mapping[str, Any]], trials: Sequence[Trial], path: Path) -> None:
    """Raise a ConfigError where published trials were run with other settings than the sweep has now."""
    planned = {(trial.row.name, trial.seed): trial.settings() for trial in trials}
    for line in lines:
        for record in line.get("trials", []):
            now = planned.get((line["model"], record["seed"]), {})
            # Settings that have been added to genophen since are at their defaults in both.
            then = settings_of_today(record["settings"])
            different = [key for key, value in then.items() if now.get(key) != value]
            if different:
                raise ConfigError(
                    f"cannot add to the results {path}",
                    found=f"its row {line['model']}, seed {record['seed']}, was run with other settings "
                    f"({', '.join(different[:3])})",
                    next_step="choose another --results, or move the file away and run every row again",
                )


def write_results(
    folder: Path, name: str, title: str, lines: Sequence[Mapping[str, Any]], command: str
) -> None:
    """Write `name.json`, a list of rows, and `name.md`, the table with where it comes from.

    `command` is the one of this sitting; commits, versions, machines and data are those of all trials.
    """
    source = "\n".join([f"- Command: `{command}`", *as_list(lines), "", _NOTE]) + "\n"
    parts = [f"# {title}\n", as_markdown(lines), source]
    with writing(folder, "choose another --results"):
        folder.mkdir(parents=True, exist_ok=True)
        (GuardedPath(folder) / f"{name}.json").write((json.dumps(lines, indent=2) + "\n").encode())
        (GuardedPath(folder) / f"{name}.md").write("\n".join(parts).encode(errors="backslashreplace"))

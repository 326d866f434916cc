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
from genophen.storage.reading import UnreadableError, read_environment, read_table
from genophen.storage.rundir import RunDirectory
from genophen.sweep.sweep import Trial
from genophen.sweep.table import as_markdown


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
    folder: Path,
    name: str,
    title: str,
    lines: Sequence[Mapping[str, Any]],
    trials: Sequence[Trial],
    command: str,
) -> None:
    """Write `name.json`, a list of rows, and `name.md`, the table with where it comes from."""
    parts = [f"# {title}\n", as_markdown(lines), _provenance(trials, command)]
    with writing(folder, "choose another --results"):
        folder.mkdir(parents=True, exist_ok=True)
        (GuardedPath(folder) / f"{name}.json").write((json.dumps(lines, indent=2) + "\n").encode())
        (GuardedPath(folder) / f"{name}.md").write("\n".join(parts).encode(errors="backslashreplace"))


def _provenance(trials: Sequence[Trial], command: str) -> str:
    """Command, commits, versions, machine and data of the trials that were run here."""
    environments = [environment for trial in trials if (environment := _environment(trial)) is not None]
    facts = {
        "Command": [f"`{command}`"],
        "Commit": [environment["git_commit"] for environment in environments],
        "Versions": [
            ", ".join(f"{package} {version}" for package, version in environment["packages"].items())
            for environment in environments
        ],
        "Machine": [_machine(environment["machine"]) for environment in environments],
        "Data": [
            f"{environment['dataset']['name']}, SHA-256 {environment['dataset']['sha256']}"
            for environment in environments
        ],
    }
    lines = []
    for name, found in facts.items():
        if found:
            lines.append(f"- {name}: {', '.join(dict.fromkeys(map(str, found)))}")
    note = (
        "Test images are looked at once, with the weights of the best round on the validation images. "
        "Scores are means over seeds; the JSON file beside this one has each seed by itself."
    )
    return "\n".join([*lines, "", note]) + "\n"


def _environment(trial: Trial) -> dict[str, Any] | None:
    if trial.result() is None:
        return None
    try:
        return read_environment(RunDirectory(trial.directory).environment)
    except UnreadableError:
        return None


def _machine(machine: Mapping[str, Any]) -> str:
    return f"{machine['device_name']}, device {machine['device']}, {machine['threads']} threads"

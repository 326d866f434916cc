"""How the runs of a page are repeated: settings, commands, and what they were made with."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genophen.report.reported import ReportGroup, ReportRun
from genophen.storage.records import UsedPlugin


def differing_settings(groups: Sequence[ReportGroup]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """For each group those of its settings that are not the same in all."""
    known = [group.runs[0].settings for group in groups if group.runs[0].settings]
    keys = dict.fromkeys(key for settings in known for key in settings)
    differing = [key for key in keys if len({repr(settings.get(key)) for settings in known}) > 1]
    return [(group.name, _among(group, differing)) for group in groups] if differing else []


def _among(group: ReportGroup, keys: Sequence[str]) -> list[tuple[str, Any]]:
    """Those of a group's settings that have one of the keys."""
    settings = group.runs[0].settings
    return [(key, settings[key]) for key in keys if key in settings]


def again(group: ReportGroup) -> tuple[ReportGroup, ReportRun, str]:
    """A run of the group that has a config, and the command that trains it again."""
    run = next(run for run in group.runs if run.config)
    files = (
        {} if run.environment is None else dict.fromkeys(p.file for p in run.environment.plugins if p.file)
    )
    named = "".join(f" --plugin {quoted(Path(file))}" for file in files)
    return group, run, f"genophen run {quoted(run.directory / 'config.toml')}{named}"


def environments(runs: Sequence[ReportRun]) -> list[tuple[str, list[tuple[str, int]]]]:
    """What the runs were made with: each fact with the values that it has, and how many runs have each."""
    known = [run.environment for run in runs if run.environment is not None]
    facts = {
        "Machine": [str(environment.machine) for environment in known],
        "Data set": [f"{e.dataset.name}, SHA-256 {e.dataset.sha256}" for e in known],
        "Git commit": [environment.git_commit or "not in a checkout" for environment in known],
        "Versions": [", ".join(f"{name} {v}" for name, v in e.packages.items() if v) for e in known],
    }
    return [(name, Counter(values).most_common()) for name, values in facts.items() if values]


def plugins_used(runs: Sequence[ReportRun]) -> list[tuple[UsedPlugin, int]]:
    """The plugins in use, and how many runs used each."""
    known = [run.environment.plugins for run in runs if run.environment is not None]
    return Counter(plugin for plugins in known for plugin in plugins).most_common()


def quoted(path: Path) -> str:
    return shlex.quote(str(path))

"""Where the trials of a table come from: commit, versions, machine and data of each, and of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genophen.storage.reading import UnreadableError, read_environment
from genophen.storage.rundir import RunDirectory

_HEADINGS = {"commit": "Commit", "versions": "Versions", "machine": "Machine", "data": "Data"}


def provenance(directory: Path) -> dict[str, str] | None:
    """What a trial's `environment.json` says of it, a sentence a key; None where it does not say."""
    try:
        environment = read_environment(RunDirectory(directory).environment)
    except UnreadableError:
        return None
    machine, dataset = environment["machine"], environment["dataset"]
    return {
        "commit": str(environment["git_commit"]),
        "versions": ", ".join(f"{name} {version}" for name, version in environment["packages"].items()),
        "machine": f"{machine['device_name']}, device {machine['device']}, {machine['threads']} threads",
        "data": f"{dataset['name']}, SHA-256 {dataset['sha256']}",
    }


def as_list(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The provenance of all trials in a table's lines, in Markdown: every value that occurs, once."""
    records = [record for line in lines for record in line.get("trials", [])]
    known = [record["provenance"] for record in records if record.get("provenance")]
    facts = [
        f"- {heading}: {', '.join(dict.fromkeys(each[key] for each in known))}"
        for key, heading in _HEADINGS.items()
        if known
    ]
    if unknown := len(records) - len(known):
        facts.append(f"- Not recorded for {unknown} of {len(records)} trials")
    return facts

"""What the head of the page says: what was trained on what, and by which command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genophen.report.collection import Collection
from genophen.report.reported import ReportGroup, ReportRun

#: More names, or commands, than these are counted and not told.
_MOST = 4


def about(collection: Collection) -> list[tuple[str, list[str]]]:
    """Name and values of each fact: data, network, genotype, optimizer."""
    results = [run.result for run in collection.runs if run.result is not None]
    facts = {
        "Data": [_data(source.runs, source.name) for source in collection.sources],
        "Network": _few(result.architecture for result in results),
        "Genotype": _few(result.genotype for result in results),
        "Optimizer": _few(result.optimizer for result in results),
    }
    return [(name, values) for name, values in facts.items() if values]


def commands(sweeps: Sequence[str], again: Sequence[tuple[ReportGroup, ReportRun, str]]) -> list[str]:
    """The commands that train all this again; none where those are many, which the page's end has."""
    given = [f"genophen sweep {sweep} --out runs/again" for sweep in sweeps]
    given += [command for _, run, command in again if run.sweep is None]
    return given if len(given) <= _MOST else []


def _data(runs: Sequence[ReportRun], name: str) -> str:
    images = next((run.environment.dataset.images for run in runs if run.environment is not None), None)
    counts = " / ".join(f"{count:,}" for count in (images or {}).values())
    return f"{name} ({counts})" if counts else name


def _few(values: Iterable[str]) -> list[str]:
    """The different ones in one line, the last of many counted alone; none where there are none."""
    different = list(dict.fromkeys(values))
    if len(different) > _MOST + 1:  # one more takes no more room than to say so
        return [", ".join(different[:_MOST]) + f" and {len(different) - _MOST} more"]
    return [", ".join(different)] if different else []

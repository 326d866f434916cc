"""The table that a sweep ends in: one line a row, over seeds, as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from genophen.contracts.measure import Measure
from genophen.errors import one_line
from genophen.storage.reading import UnreadableError, read_environment
from genophen.storage.rundir import RunDirectory
from genophen.sweep.evaluations import as_table, of_trials
from genophen.sweep.file import Row
from genophen.sweep.provenance import provenance
from genophen.sweep.sweep import Trial

#: Key in a line, and heading; `{}` is what the lines are measured by.
_COLUMNS: list[tuple[str, str]] = [
    ("model", "Model"),
    ("test_score_mean", "Test {}"),
    ("test_score_std", "Std"),
    ("seeds", "Seeds"),
    ("kernel_parameters", "Kernel parameters"),
    ("total_parameters", "Total parameters"),
    ("seconds_mean", "Seconds"),
    ("reported_test_score", "Published"),
    ("reported_kernel_parameters", "Published kernel parameters"),
    ("status", "Status"),
]


def sweep_rows(
    rows: Sequence[Row],
    trials: Sequence[Trial],
    failures: Mapping[str, str],
    earlier: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """One line a row: mean and standard deviation over the seeds that are done, and what was published.

    `failures` has the error of each trial that ended without a result just now, by its folder's name; those
    of earlier sittings are on record in the folders. A trial that failed or diverged counts in no mean.
    Trials of an `earlier` table of the same sweep are taken over where they have not been run again.
    """
    kept = {line["model"]: line.get("trials", []) for line in earlier}
    return [
        _line(
            row, [trial for trial in trials if trial.row.name == row.name], failures, kept.get(row.name, [])
        )
        for row in rows
    ]


def _line(
    row: Row, trials: Sequence[Trial], failures: Mapping[str, str], earlier: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    records = {record["seed"]: dict(record) for record in earlier}
    problems = {}
    for trial in trials:
        result = trial.result()
        if trial.directory.name in failures:
            problems[trial.seed] = failures[trial.directory.name]
        elif result is not None and result["test_score"] is None:
            problems[trial.seed] = str(result["status"])
        elif result is not None:
            records[trial.seed] = _record(trial, result)
        elif failure := trial.failure():
            problems[trial.seed] = failure
    done = [records[seed] for seed in sorted(records)]
    scores = [record["test_score"] for record in done]
    measure = trials[0].measure
    line = {
        "model": row.name,
        "task": trials[0].config.task.name,
        **measure.as_record(),
        "test_score_mean": statistics.fmean(scores) if scores else None,
        "test_score_std": statistics.stdev(scores) if len(scores) > 1 else None,
        "seeds": [record["seed"] for record in done],
        "kernel_parameters": done[0]["parameters"]["kernel"] if done else None,
        "total_parameters": done[0]["parameters"]["total"] if done else None,
        "seconds_mean": statistics.fmean(record["wall_seconds"] for record in done) if done else None,
        "reported_test_score": row.published.score,
        "reported_kernel_parameters": row.published.kernel_parameters,
        "erratum": row.published.erratum,
        "status": _status(len(done), len(row.seeds), problems),
        "problems": {str(seed): text for seed, text in sorted(problems.items())},
        "trials": done,
    }
    return (
        line
        | of_trials(done)
        | {
            f"test_{measure.key}_mean": measure.own(line["test_score_mean"]),
            f"test_{measure.key}_std": line["test_score_std"],
            f"reported_test_{measure.key}": measure.own(row.published.score),
        }
    )


def _record(trial: Trial, result: Mapping[str, Any]) -> dict[str, Any]:
    """What a table keeps of one trial."""
    keys = (
        "task",
        *trial.measure.as_record(),
        "test_score",
        "validation_score",
        f"test_{trial.measure.key}",
        f"validation_{trial.measure.key}",
        "best_round",
        "rounds",
        "parameters",
        "sample_evaluations",
        "backward_samples",
        "wall_seconds",
    )
    counted = ("stop_reason", "episodes", "test_episodes") if result.get("episodes") else ()
    return {
        "seed": trial.seed,
        **{key: result[key] for key in (*keys, *counted)},
        "images": _images(trial),
        "provenance": provenance(trial.directory),
        "settings": trial.settings(),
    }


def _images(trial: Trial) -> dict[str, int] | None:
    """How many images each split had, from the trial's `environment.json`; None where it does not say."""
    try:
        dataset = read_environment(RunDirectory(trial.directory).environment)["dataset"]
    except UnreadableError:
        return None
    images: dict[str, int] | None = dataset.get("images")
    return images


def _status(done: int, planned: int, problems: Mapping[int, str]) -> str:
    if problems:
        seeds = ", ".join(f"seed {seed}: {text}" for seed, text in sorted(problems.items()))
        return f"{done} of {planned} done; {seeds}"
    if not done:
        return "not run"
    return "done" if done == planned else f"{done} of {planned} done"


def cell_text(line: Mapping[str, Any], key: str) -> str:
    """A value of a line as text: scores as their measure writes them, counts with separators, no None."""
    value = line[key]
    if value is None:
        return ""
    if "score" in key:
        return Measure.of(line).shown(value)
    if key == "seconds_mean":
        return f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else one_line(str(value))


def _headings(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    title = common_measure(lines).title
    return [heading.format(title) for _, heading in _COLUMNS]


def common_measure(lines: Sequence[Mapping[str, Any]]) -> Measure:
    """What all lines are measured by; where they differ, one that is called `score`."""
    measures = {Measure.of(line) for line in lines}
    return measures.pop() if len(measures) == 1 else Measure("score")


def as_markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """The table in Markdown, with a note under it for each erratum."""
    head = [f"| {' | '.join(_headings(lines))} |", f"|{'---|' * len(_COLUMNS)}"]
    body = [f"| {' | '.join(_cell(line, key) for key, _ in _COLUMNS)} |" for line in lines]
    errata = [f"\\* {line['model']}: {line['erratum']}." for line in lines if line["erratum"]]
    notes = "".join(f"\n{erratum}\n" for erratum in errata)
    evaluations = f"\n{table}\n" if (table := as_table(lines)) else ""
    return "\n".join([*head, *body]) + "\n" + notes + evaluations


def _cell(line: Mapping[str, Any], key: str) -> str:
    mark = "\\*" if key == "reported_kernel_parameters" and line["erratum"] else ""
    return cell_text(line, key).replace("|", "\\|") + mark


def as_text(lines: Sequence[Mapping[str, Any]]) -> str:
    """The table in aligned columns."""
    return aligned([_headings(lines), *([cell_text(line, key) for key, _ in _COLUMNS] for line in lines)])


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Rows of cells, each column as wide as its widest."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def as_csv(lines: Sequence[Mapping[str, Any]]) -> str:
    """The table as CSV, numbers unrounded, scores under their measure's own name."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    own = common_measure(lines).key
    keys = [key.replace("score", own) for key, _ in _COLUMNS]
    writer.writerow(keys)
    for line in lines:
        writer.writerow([" ".join(map(str, v)) if isinstance(v := line[key], list) else v for key in keys])
    return out.getvalue()

"""What a sweep would run, told without any data: every row's network is built, its optimizer is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genophen.errors import ConfigError, GenophenError, Problem, one_line
from genophen.plugins.registry import Plugins
from genophen.sweep.sweep import Trial
from genophen.sweep.table import aligned
from genophen.training.trial import lay_out


def rehearse(trials: Sequence[Trial], plugins: Plugins) -> list[dict[str, Any]]:
    """A line for each row: its seeds, which of them are done, and its counts of parameters.

    Raises:
        ConfigError: where runs would be refused, with every row that is wrong.
    """
    lines, problems = [], []
    for name in dict.fromkeys(trial.row.name for trial in trials):
        of_row = [trial for trial in trials if trial.row.name == name]
        try:
            laid_out = lay_out(of_row[0].config, plugins)
            laid_out.check_network()
            laid_out.check_optimizer()
            laid_out.check_space(of_row[0].directory)
        except GenophenError as error:
            parts = (error.attempted, error.found, *map(str, getattr(error, "problems", ())))
            found = one_line("; ".join(part for part in parts if part))
            problems.append(Problem(name or "(the grid)", found, error.allowed, error.next_step))
            continue
        lines.append(
            {
                "model": name,
                "seeds": [trial.seed for trial in of_row],
                "done": [trial.seed for trial in of_row if trial.result() is not None],
                "parameters": laid_out.parameters(),
                "rounds": of_row[0].config.training.rounds,
            }
        )
    if problems:
        raise ConfigError("cannot run the sweep", problems=problems)
    return lines


def rehearsal_text(lines: Sequence[dict[str, Any]]) -> str:
    """The lines as a table."""
    head = ["Model", "Seeds", "Done", "Rounds", "Kernel parameters", "Searched", "Total parameters"]
    cells = [
        [
            line["model"],
            ", ".join(map(str, line["seeds"])),
            ", ".join(map(str, line["done"])),
            f"{line['rounds']:,}",
            *(f"{line['parameters'][key]:,}" for key in ("kernel", "searched", "total")),
        ]
        for line in lines
    ]
    return aligned([head, *cells])

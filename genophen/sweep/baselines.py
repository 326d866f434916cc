"""Rows of a sweep that others are compared with: what an optimizer names as its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from genophen.config.config import resolve_config
from genophen.contracts.optimizer import Optimizer
from genophen.errors import ConfigError, listed, nearest
from genophen.plugins.registry import Plugins
from genophen.sweep.file import Published, Row, Sweep, merged


def with_baselines(sweep: Sweep, plugins: Plugins) -> Sweep:
    """The sweep with a row `ROW, BASELINE` after each row whose optimizer has a baseline that was asked for.

    Raises:
        ConfigError: for a baseline that no row's optimizer has, and for a row that cannot be used.
    """
    if not sweep.baselines:
        return sweep
    rows: list[Row] = []
    known: set[str] = set()
    for row in sweep.rows:
        offered = _offered(row, plugins)
        known |= offered.keys()
        rows += [row, *(_row(row, name, offered[name]) for name in sweep.baselines if name in offered)]
    for name in sweep.baselines:
        if name not in known:
            raise ConfigError(
                f"cannot add the baseline {name!r}",
                found="no row has an optimizer with a baseline of that name",
                allowed=listed(sorted(known))
                if known
                else "none: the optimizers of these rows have no baseline",
                next_step=nearest(name, known),
            )
    return replace(sweep, rows=tuple(rows), baselines=())


def _offered(row: Row, plugins: Plugins) -> Mapping[str, Mapping[str, Any]]:
    """The baselines of a row's optimizer: by name, tables to lay over the row's."""
    optimizer = resolve_config(row.tables, plugins, f"of row {row.name!r}").optimizer
    cls = cast(type[Optimizer], plugins.get("optimizer", optimizer.name).cls)
    with plugins.blame("optimizer", optimizer.name):
        return cls.baselines(optimizer.options)


def _row(row: Row, name: str, tables: Mapping[str, Any]) -> Row:
    return Row(f"{row.name}, {name}", merged(row.tables, tables), row.seeds, Published(), row.name)

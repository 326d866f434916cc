"""How a sweep goes on: a table on a terminal that is written anew, a line a minute without one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from genophen.cli.common import say
from genophen.errors import printable

if TYPE_CHECKING:
    from rich.console import Console, Group

    from genophen.sweep.going import Watch
    from genophen.sweep.sweep import Trial

#: Seconds between two lines, where there is no terminal.
INTERVAL = 60.0
#: More running trials are not shown one by one.
_MOST = 20


class SweepDisplay:
    """Shows on stderr how far the trials are, and says above that what became of them."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        #: Where a table stands now; none where there is no terminal, or no trial runs.
        self._console: Console | None = None

    def say(self, text: str) -> None:
        """A line to the user."""
        if self._console is None:
            say(text)
        else:
            # Not as markup: a name may hold square brackets.
            self._console.print(printable(text), markup=False, soft_wrap=True)

    @contextmanager
    def shown(self, trials: Sequence[Trial]) -> Iterator[None]:
        """Show the trials inside the block."""
        from rich.console import Console

        from genophen.sweep.going import Watch

        watch, console = Watch(trials, self._jobs), Console(stderr=True, highlight=False)
        # As for the bar of a run: with FORCE_COLOR a file counts as a terminal for rich.
        if not sys.stderr.isatty() or console.is_dumb_terminal:
            with _said_now_and_then(watch):
                yield
            return
        from rich.live import Live

        self._console = console
        try:
            with Live(
                console=console,
                get_renderable=lambda: _table(watch),
                refresh_per_second=1,
                transient=True,
                redirect_stdout=False,
            ):
                yield
        finally:
            self._console = None


@contextmanager
def _said_now_and_then(watch: Watch) -> Iterator[None]:
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(INTERVAL):
            standing = watch.look()
            say(f"  {standing.text}")
            for trial in standing.running[:_MOST]:
                best = f", best validation {trial.validation}" if trial.validation else ""
                say(f"    {trial.name}: round {trial.round} of {trial.rounds}{best}")

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _table(watch: Watch) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from genophen.errors import duration

    standing = watch.look()
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("Trial", no_wrap=True)
    for heading in ("Round", "Best validation", "Left"):
        table.add_column(heading, justify="right", no_wrap=True)
    for trial in standing.running[:_MOST]:
        left = "" if trial.seconds_left is None else duration(trial.seconds_left)
        cells = (trial.name, f"{trial.round} of {trial.rounds}", trial.validation, left)
        table.add_row(*map(Text, cells))
    return Group(*([table] if standing.running else []), Text(standing.text))

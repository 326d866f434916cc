"""`genophen play`: an episode of a trained controller, in the terminal or as a file."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genophen.cli.common import plugin_options, resolve_run, say, show
from genophen.cli.completion import run_directories

if TYPE_CHECKING:
    from genophen.contracts.playback import Playback


@click.command(no_args_is_help=True)
@click.argument("directory", type=click.Path(path_type=Path), shell_complete=run_directories)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write an animated picture, .svg, that loads nothing else, and show nothing.",
)
@click.option(
    "--start", type=int, default=0, show_default=True, metavar="K", help="Which of the test's starts."
)
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="End after N steps (default: the task's)."
)
@click.option(
    "--speed", type=click.FloatRange(min=0.01), default=1.0, show_default=True, help="How many times as fast."
)
@plugin_options
def play(
    directory: Path,
    out: Path | None,
    start: int,
    steps: int | None,
    speed: float,
    plugin_files: tuple[Path, ...],
    debug: bool,
) -> None:
    """Show an episode of the best controller of the run in DIRECTORY, of a task that has episodes.

    Without a terminal, five frames of it are printed.

    \b
    genophen play runs/20260101-120000-double-pole-1a2b3c
    genophen play runs/20260101-120000-double-pole-1a2b3c --start 17 --out episode.svg
    """
    from genophen.errors import ConfigError
    from genophen.report.episode_svg import described, standalone_episode
    from genophen.storage.files import write_file, writing
    from genophen.storage.rundir import RunDirectory
    from genophen.training.trained import best_experiment

    if out is not None and out.suffix != ".svg":
        raise ConfigError(
            f"cannot write the episode to {out}", found=f"a name ending in {out.suffix!r}", allowed=".svg"
        )
    run = RunDirectory.open(directory)
    config, plugins = resolve_run(run, (), {"device": "cpu"}, plugin_files)
    experiment, _ = best_experiment(run, config, plugins, say)
    playback = experiment.playback(start, steps)
    if playback is None:
        raise ConfigError(
            f"cannot play {directory}",
            found=f"the task {config.task.name}, which has no episodes",
            allowed="runs of control tasks, such as examples/double_pole.toml",
        )
    if out is not None:
        with writing(f"the episode to {out}", "--out FILE"):
            write_file(out, standalone_episode(playback).encode())
        show(str(out))
    else:
        _show(playback, speed)
    say(f"{playback.words}: {described(playback)}")


def _show(playback: Playback, speed: float) -> None:
    from rich.console import Console

    from genophen.report.episode_text import texts

    console = Console(stderr=False)
    plain = not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    columns = min(100, console.width - 1)
    if not console.is_terminal:
        frames = list(texts(playback, columns, plain=plain))
        for index in sorted({round(part * (len(frames) - 1) / 4) for part in range(5)}):
            show(frames[index])
            show(f"{index * playback.seconds:.2f} s")
        return
    began, previous = time.monotonic(), 0
    for index, text in enumerate(texts(playback, columns, plain=plain)):
        late = time.monotonic() - began - index * playback.seconds / speed
        if late > playback.seconds / speed and index < len(playback.frames) - 1:
            continue  # a slow terminal shows fewer frames, not a slower episode
        time.sleep(max(0.0, -late))
        lines = text.splitlines()
        # Up over the frame before, then each line in the place of the old one.
        sys.stdout.write(f"\x1b[{previous}F" if previous else "")
        sys.stdout.write("".join(f"{line}\x1b[K\n" for line in lines))
        sys.stdout.flush()
        previous = len(lines)

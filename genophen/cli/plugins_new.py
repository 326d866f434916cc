"""`genophen plugins new`: a package to start from."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from genophen.cli.common import load_all_plugins, show


@click.command("new", no_args_is_help=True)
@click.argument("name")
@click.option(
    "--kind",
    metavar="KIND",
    default="architecture",
    show_default=True,
    help="architecture, genotype, optimizer, dataset or reporter.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the package, absent or empty (default: genophen-NAME).",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def new_command(name: str, kind: str, out: Path | None, debug: bool) -> None:
    """Write a package with a working plugin NAME and its test, to change into your own.

    \b
    genophen plugins new tiny --kind architecture
    """
    from genophen.errors import ConfigError
    from genophen.plugins.skeleton import skeleton, write_skeleton

    made = skeleton(name, kind)
    taken = load_all_plugins(()).registered[kind].get(name)
    if taken is not None:
        raise ConfigError(
            f"cannot begin the {kind} {name!r}",
            found=f"{taken.source} has one of that name",
            next_step="choose another name",
        )
    folder = Path(made.names["distribution"]) if out is None else out
    for file in write_skeleton(made, folder):
        show(str(file))
    show(f"\nTo try it:\n  cd {shlex.quote(str(folder))}")
    show(f"  genophen plugins check {name} --plugin {made.names['module']}.py")
    show(f"  {made.names['use']} --plugin {made.names['module']}.py")
    show("To install it, so that it is found without --plugin:\n  python -m pip install --editable '.[dev]'")

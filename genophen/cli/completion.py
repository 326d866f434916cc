"""`genophen completion`, and what a shell is offered: plugins by name, run directories.

Loading the plugins takes seconds, most of them PyTorch's. Their names are kept in a file between two presses
of the key, for as long as the same plugins are installed and their files have not changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from genophen.errors import GenophenError

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_VARIABLE = "_GENOPHEN_COMPLETE"


@click.command(no_args_is_help=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--debug", is_flag=True, hidden=True)
def completion(shell: str, debug: bool) -> None:
    """Print the code that lets SHELL complete commands, options, plugins and run directories.

    \b
    echo 'eval "$(genophen completion bash)"' >> ~/.bashrc
    echo 'eval "$(genophen completion zsh)"' >> ~/.zshrc
    genophen completion fish > ~/.config/fish/completions/genophen.fish
    """
    shell_class = get_completion_class(shell)
    assert shell_class is not None
    root = click.get_current_context().find_root().command
    click.echo(shell_class(root, {}, "genophen", _VARIABLE).source())


def plugin_names(kind: str) -> Completer:
    """Offers the names of a kind's plugins."""
    return lambda ctx, parameter, incomplete: _starting(incomplete, _names().get(kind, []))


def every_plugin_name(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offers the names of all plugins."""
    return _starting(incomplete, sorted({name for names in _names().values() for name in names}))


def run_directories(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offers run directories and sweeps below `runs/`, or below what has been typed; else any folder."""
    folder, slash, _ = incomplete.rpartition("/")
    found = [
        f"{parent}{run.name}"
        for parent in ([f"{folder}/"] if slash else ["", "runs/"])
        for run in sorted(Path(parent).glob("*"))
        if (run / "config.toml").is_file() or (run / "sweep.toml").is_file()
    ]
    return _starting(incomplete, found) or [CompletionItem(incomplete, type="dir")]


def _starting(incomplete: str, words: list[str]) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _names() -> dict[str, list[str]]:
    """Names of all plugins by kind, from the file that keeps them where it is still right."""
    from genophen.config.settings import cache_folder

    file = cache_folder() / "plugin-names.json"
    installed = _installed()
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["installed"] == installed:
            return dict(kept["names"])
    from genophen.plugins.loading import load_plugins

    try:
        registered = load_plugins().registered
    except GenophenError:  # GENOPHEN_STRICT_PLUGINS; a shell that completes is no place to say so
        return {}
    names = {kind: sorted(found) for kind, found in registered.items()}
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"installed": installed, "names": names}), encoding="utf-8")
    return names


def _installed() -> list[list[str]]:
    """What the names depend on: the entry points, their versions and files, and which are selected."""
    from importlib.metadata import entry_points

    points = [
        [point.name, point.value, point.dist.version if point.dist else "", _changed(point.module)]
        for point in entry_points(group="genophen")
    ]
    return [[os.environ.get("GENOPHEN_LOAD_PLUGINS", "(all)")], *sorted(points)]


def _changed(module: str) -> str:
    """When a module's file was last changed, found without importing the module."""
    from importlib.util import find_spec

    package, *inner = module.split(".")
    with suppress(ImportError, ValueError, OSError, AttributeError, IndexError, TypeError):
        spec = find_spec(package)
        path = Path(spec.submodule_search_locations[0]).joinpath(*inner).with_suffix(".py")  # type: ignore
        return str(path.stat().st_mtime_ns)
    return ""

"""The config that a run was started with, read back from its directory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from genophen.config.config import Config, PluginLookup, resolve_config
from genophen.config.toml import assign, read_toml
from genophen.errors import ConfigError, PluginError
from genophen.storage.files import read_file
from genophen.storage.reading import UnreadableError, read_environment
from genophen.storage.rundir import RunDirectory


def config_of(
    run: RunDirectory, plugins: PluginLookup, changes: Mapping[str, object] | None = None
) -> Config:
    """A run's config, with other values for the settings in `changes`, by dotted key; None changes nothing.

    Raises:
        ConfigError: for a config that cannot be used, with every mistake in it.
    """
    tables = read_toml(run.config)
    for key, value in (changes or {}).items():
        if value is not None:
            assign(tables, key.split("."), value)
    with plugin_files_named(run):
        return resolve_config(tables, plugins, str(run.config))


@contextmanager
def plugin_files_named(run: RunDirectory) -> Iterator[None]:
    """Have an error about a plugin that is not there name the file that the run had it from.

    The file is not loaded unasked: whoever made a run directory could have any code run in that way.
    """
    try:
        yield
    except (ConfigError, PluginError) as error:
        hints = {
            f"{plugin['kind']}.name": _where(plugin)
            for plugin in _from_files(run)
            if f"{plugin['kind']}.name: {plugin['name']!r}" in error.text()
        }
        if not hints:
            raise
        if isinstance(error, ConfigError):
            problems = [
                replace(problem, allowed="", next_step=hints[problem.key])
                if problem.key in hints
                else problem
                for problem in error.problems
            ]
            raise ConfigError(error.attempted, problems=problems) from None
        raise PluginError(error.attempted, found=error.found, next_step="; ".join(hints.values())) from None


def _from_files(run: RunDirectory) -> list[dict[str, Any]]:
    """What a run recorded of the plugins that it had from single files."""
    try:
        return [plugin for plugin in read_environment(run.environment)["plugins"] if plugin.get("sha256")]
    except UnreadableError:
        return []


def _where(plugin: Mapping[str, Any]) -> str:
    """In words, which file a plugin came from, and what has become of it."""
    file, digest = plugin["distribution"], plugin["sha256"]
    had = f"the run had it from the file {file} (SHA-256 {digest})"
    try:
        now = hashlib.sha256(read_file(Path(file))).hexdigest()
    except (OSError, ValueError):
        return f"{had}, which is not there now: --plugin FILE.py"
    if now != digest:
        return f"{had}, which has changed since: --plugin {file}"
    return f"the run had it from this file: --plugin {file}"

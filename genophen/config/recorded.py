"""The config that a run was started with, read back from its directory."""

from __future__ import annotations

from collections.abc import Mapping

from genophen.config.config import Config, PluginLookup, resolve_config
from genophen.config.toml import assign, read_toml
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
    return resolve_config(tables, plugins, str(run.config))

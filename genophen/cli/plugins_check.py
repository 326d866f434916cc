"""`genophen plugins check`: what a plugin keeps of its contract, and how to mend the rest."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genophen.cli.common import (
    data_dir_option,
    json_option,
    load_all_plugins,
    plugin_options,
    print_json,
    show,
)

if TYPE_CHECKING:
    from genophen.contracts.options import Options
    from genophen.plugins.registry import Plugin
    from genophen.testing import Finding


@click.command("check", no_args_is_help=True)
@click.argument("name")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="A.B=VALUE",
    help="Check with this setting, KIND.NAME.SETTING=VALUE as for `genophen run`; repeatable.",
)
@data_dir_option
@json_option
@plugin_options
def check_command(
    name: str,
    assignments: tuple[str, ...],
    data_dir: Path | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
    debug: bool,
) -> None:
    """Check that the plugin NAME keeps its contract, with its default settings or those given.

    \b
    genophen plugins check tiny --plugin tiny.py
    genophen plugins check vgg-block1 --set architecture.vgg-block1.num_outputs=100
    """
    from genophen.config.settings import default_data_dir
    from genophen.errors import PluginError
    from genophen.testing import examine

    plugins = load_all_plugins(plugin_files, keep_going=True).named(name, "check")
    folder = default_data_dir() if data_dir is None else data_dir
    with redirect_stdout(sys.stderr):  # what a plugin prints
        checked = [
            (plugin, examine(plugin.kind, plugin.cls, folder, _options(plugin, assignments, folder)))
            for plugin in plugins
        ]
    if as_json:
        print_json([_as_json(plugin, findings) for plugin, findings in checked])
    failed = []
    for plugin, findings in checked:
        failed += [finding for finding in findings if finding.problem]
        if not as_json:
            _print(plugin, findings)
    if failed:
        if debug and failed[0].error is not None:
            raise failed[0].error
        raise PluginError(
            f"the plugin {name} breaks its contract",
            found=f"{len(failed)} failed of {sum(len(findings) for _, findings in checked)} checks",
            next_step="mend what FAIL names, and check again; --debug shows where the first one is",
        )


def _options(plugin: Plugin, assignments: tuple[str, ...], data_dir: Path) -> Options | None:
    """The settings that the assignments make; None where there are none."""
    from genophen.config.toml import flattened, override
    from genophen.contracts.options import Options, read_options, with_absolute_paths
    from genophen.errors import ConfigError

    if not assignments:
        return None
    tables: dict[str, Any] = {plugin.kind: {plugin.name: {}}}
    override(tables, assignments)
    where = f"{plugin.kind}.{plugin.name}"
    if others := [key for key in flattened(tables) if not key.startswith(f"{where}.")]:
        raise ConfigError(
            f"cannot check the plugin {plugin.name} with --set {others[0]}",
            found="no setting of this plugin",
            allowed=f"{where}.SETTING=VALUE; `genophen plugins show {plugin.name}` lists its settings",
        )
    values = tables[plugin.kind][plugin.name]
    options = read_options(getattr(plugin.cls, "Options", Options), values, where)
    return with_absolute_paths(options, data_dir)


def _print(plugin: Plugin, findings: list[Finding]) -> None:
    show(f"{plugin.kind} {plugin.name}, from {plugin.source}")
    for finding in findings:
        show(f"  {'FAIL' if finding.problem else 'ok  '}  {finding.wanted}")
        if finding.problem:
            show(f"        {finding.problem}")
    if not any(finding.problem for finding in findings):
        show(f"all {len(findings)} checks passed")


def _as_json(plugin: Plugin, findings: list[Finding]) -> dict[str, Any]:
    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "plugin": plugin.source.name,
        "passed": not any(finding.problem for finding in findings),
        "checks": [{"wanted": finding.wanted, "problem": finding.problem} for finding in findings],
    }

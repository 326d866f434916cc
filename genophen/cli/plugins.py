"""`genophen plugins`: what is installed, which settings it takes, and how to make one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genophen.cli.common import json_option, load_all_plugins, plugin_options, print_json, show
from genophen.cli.completion import every_plugin_name
from genophen.cli.group import Commands
from genophen.cli.plugins_check import check_command
from genophen.cli.plugins_new import new_command
from genophen.errors import one_line

if TYPE_CHECKING:
    from genophen.contracts.options import Options
    from genophen.plugins.registry import Plugin


@click.group(cls=Commands, otherwise="genophen plugins show {name}", no_args_is_help=True)
def plugins() -> None:
    """List the plugins, show or check one, or begin one of your own."""


@plugins.command("list")
@click.option("--kind", metavar="KIND", help="architecture, genotype, optimizer, dataset or reporter.")
@json_option
@plugin_options
def list_command(kind: str | None, as_json: bool, plugin_files: tuple[Path, ...], debug: bool) -> None:
    """List every plugin by kind, with the package it comes from."""
    from genophen.plugins.contract import KINDS

    if kind is not None and kind not in KINDS:
        raise click.UsageError(f"--kind {kind!r} is none of {', '.join(KINDS)}")
    loaded = load_all_plugins(plugin_files)
    found = [
        plugin
        for each in ([kind] if kind else KINDS)
        for _, plugin in sorted(loaded.registered[each].items())
    ]
    if as_json:
        failures = [{"plugin": str(f.source), "cause": f.cause} for f in loaded.failures]
        print_json({"plugins": [_summary(plugin) for plugin in found], "failures": failures})
        return
    for plugin in found:
        show(f"{plugin.kind:<13} {plugin.name:<14} {one_line(plugin.cls.description)}  [{_origin(plugin)}]")  # type: ignore[attr-defined]


@plugins.command("show", no_args_is_help=True)
@click.argument("name", shell_complete=every_plugin_name)
@json_option
@plugin_options
def show_command(name: str, as_json: bool, plugin_files: tuple[Path, ...], debug: bool) -> None:
    """Show the plugin NAME: what it is, where it comes from, and every setting with its default."""
    found = load_all_plugins(plugin_files).named(name, "show")
    if as_json:
        print_json([{**_summary(plugin), "settings": _settings(plugin)} for plugin in found])
        return
    for plugin in found:
        _print_plugin(plugin)


plugins.add_command(check_command)
plugins.add_command(new_command)


def _summary(plugin: Plugin) -> dict[str, Any]:
    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "description": one_line(plugin.cls.description),  # type: ignore[attr-defined]
        "plugin": plugin.source.name,
        "distribution": plugin.source.distribution,
        "version": plugin.source.version,
    }


def _origin(plugin: Plugin) -> str:
    return f"{plugin.source.distribution} {plugin.source.version}".strip()


def _settings(plugin: Plugin) -> list[dict[str, Any]]:
    options = getattr(plugin.cls, "Options", None)
    return [] if options is None else settings_of(options)


def settings_of(options: type[Options]) -> list[dict[str, Any]]:
    """Each setting's name, type, default and description, from the pydantic fields."""
    properties = options.model_json_schema(by_alias=False).get("properties", {})
    fields = options.model_fields
    return [
        {
            "name": name,
            "type": _type(properties[name]),
            "required": fields[name].is_required(),
            "default": properties[name].get("default"),
            "description": fields[name].description or "",
        }
        for name in fields
    ]


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema's type in the words of a config."""
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema:
        return " | ".join(repr(value) for value in schema["enum"])
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = " and ".join(
        f"{sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema and schema[key] < 2**63
    )
    return " ".join(part for part in (schema.get("format") or schema.get("type", "value"), limits) if part)


def _print_plugin(plugin: Plugin) -> None:
    show(f"{plugin.kind} {plugin.name}: {one_line(plugin.cls.description)}")  # type: ignore[attr-defined]
    show(f"from {plugin.source.name} ({_origin(plugin)})")
    settings = _settings(plugin)
    if not settings:
        show("It has no settings.")
        return
    show(f"Settings, under [{plugin.kind}.{plugin.name}]:")
    for setting in settings:
        default = "required" if setting["required"] else f"default {default_text(setting['default'])}"
        show(f"  {setting['name']}  ({setting['type']}; {default})")
        if setting["description"]:
            show(f"      {setting['description']}")


def default_text(value: object) -> str:
    """A default as a config would have it; `none` where it has none."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else repr(value)

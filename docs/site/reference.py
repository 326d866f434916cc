"""Writes the reference pages from the code as the site is built, so that they cannot disagree with it.

A page asks for its part with a line such as `<!-- commands -->`. Pictures of our own are put into the page
itself, so that they follow its light and dark colours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

import genophen
from genophen.cli import cli
from genophen.cli.plugins import default_text, settings_of
from genophen.config.config import PLUGIN_KINDS, SECTIONS
from genophen.plugins.contract import KINDS
from genophen.plugins.loading import load_plugins

_WITHOUT = re.compile(r"\*Written from the code by [^*]*\*\n\n$")
_PICTURE = re.compile(r'<img[^>]* src="(\w[\w-]*\.svg)"[^>]*>')


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs' event: the text of a page with the parts that it asks for."""
    for marker, write in _PARTS.items():
        before, found, after = markdown.partition(f"<!-- {marker} -->")
        if found:  # in the file itself a line says what to do without the part
            markdown = _WITHOUT.sub("", before) + "\n".join(write()) + after
    return markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """mkdocs' event: the page as HTML with our own pictures in it."""
    folder = Path(page.file.abs_src_path).parent
    return _PICTURE.sub(lambda found: (folder / found[1]).read_text(encoding="utf-8"), html)


def on_post_page(output: str, **_: Any) -> str:
    """mkdocs' event: the finished page, with a name for its theme's search dialogue."""
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"')


def on_post_template(output_content: str, template_name: str, **_: Any) -> str:
    """mkdocs' event: the same for 404.html, which is no page."""
    return on_post_page(output_content) if template_name == "404.html" else output_content


def commands() -> Iterator[str]:
    """Every command's help, groups before what is in them."""
    yield from _command(click.Context(cli, info_name="genophen", terminal_width=88, **cli.context_settings))


def _command(context: click.Context) -> Iterator[str]:
    command = context.command
    yield from (f"## {context.command_path}", "", "```text", command.get_help(context), "```", "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(click.Context(inner, context, info_name=name))


def configuration() -> Iterator[str]:
    """Every section's settings, and under it those of its plugins."""
    registered = load_plugins().registered
    for section, options in SECTIONS.items():
        yield from (f"## [{section}]", "")
        if section in PLUGIN_KINDS:
            names = ", ".join(f"`{name}`" for name in sorted(registered[section]))
            yield from (f"`name` selects the plugin: {names}.", "")
        yield from _table(settings_of(options))
        if section in PLUGIN_KINDS:
            for name, plugin in sorted(registered[section].items()):
                yield from (f"### [{section}.{name}]", "", f"{plugin.cls.description}.", "")
                yield from _table(settings_of(plugin.cls.Options)) or ("It has no settings.", "")


def plugins() -> Iterator[str]:
    """The plugins that ship, by kind."""
    yield from ("| kind | name | what it is |", "|---|---|---|")
    registered = load_plugins().registered
    for kind in KINDS:
        for name, plugin in sorted(registered[kind].items()):
            yield f"| {kind} | `{name}` | {_cell(plugin.cls.description)} |"


def _table(settings: list[dict[str, Any]]) -> list[str]:
    if not settings:
        return []
    lines = ["| key | values | default | what it does |", "|---|---|---|---|"]
    for setting in settings:
        default = "**required**" if setting["required"] else f"`{default_text(setting['default'])}`"
        default = "" if default == "`none`" else default
        description = _cell(setting["description"])
        lines.append(f"| `{setting['name']}` | {_cell(setting['type'])} | {default} | {description} |")
    return [*lines, ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def python() -> Iterator[str]:
    """Every public name, for mkdocstrings to fill in from its docstring."""
    for name in genophen.__all__:
        if not name.startswith("__"):
            yield from (f"::: genophen.{name}", "")


_PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "configuration": configuration,
    "plugins": plugins,
    "python": python,
}

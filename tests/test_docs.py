"""The pages: they build without a warning, load nothing from elsewhere, and what they show can be run."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import click
import pytest
from axe import faults, needs_axe
from conftest import ROOT, SHIPPED
from helpers import digits_tables
from PIL import Image

import genophen
from genophen.cli import cli, main
from genophen.cli.examples import shipped_examples
from genophen.config.config import PLUGIN_KINDS, SECTIONS, resolve_config
from genophen.plugins.loading import load_plugins
from genophen.sweep.file import merged

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"]
#: Pages whose blocks go together, and are run in order: here, by test_export.py, by test_docs_plugin.py.
TOGETHER = {ROOT / "docs" / name for name in ("export.md", "write-a-plugin.md", "three-ways.md")}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)


def blocks(*languages: str) -> list[object]:
    """The fenced blocks in one of the languages, as parameters of a test."""
    return [
        pytest.param(block, id=f"{page.stem}-{number}")
        for page in PAGES
        if page not in TOGETHER or languages == ("",)
        for number, (language, block) in enumerate(_BLOCK.findall(page.read_text(encoding="utf-8")), 1)
        if language in languages
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the pages need the extra [docs]")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env={**os.environ, "GENOPHEN_LOAD_PLUGINS": SHIPPED, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *args: object) -> None: ...


class Loaded(HTMLParser):
    """What a browser loads with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[name] or "" for name in ("src", "srcset", "data", "poster") if name in given]
        if tag == "link" and given.get("rel") != "canonical":
            self.addresses.append(given["href"] or "")


def test_the_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert {"index.html", "concepts.html", "api.html"} <= {page.name for page in pages}
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert loaded.addresses
        assert not [address for address in loaded.addresses if re.match(r"\w+:|//", address)], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import\s*)[\"']?(https?:|//)", style.read_text(encoding="utf-8"))


def test_the_references_name_everything(site: Path) -> None:
    commands = (site / "commands.html").read_text(encoding="utf-8")
    for name in cli.commands:
        assert f'id="genophen-{name}"' in commands
    settings = (site / "configuration.html").read_text(encoding="utf-8")
    for section in SECTIONS:
        assert f">[{section}]<" in settings
    registered = load_plugins().registered
    for kind in PLUGIN_KINDS:
        for name, plugin in registered[kind].items():
            assert f">[{kind}.{name}]<" in settings
            assert all(f"<code>{key}</code>" in settings for key in plugin.cls.Options.model_fields)
    python = (site / "api.html").read_text(encoding="utf-8")
    for name in genophen.__all__:
        assert name == "__version__" or f'id="genophen.{name}"' in python, name


def test_the_picture_is_in_the_page_and_follows_its_colours(site: Path) -> None:
    for name in ("index.html", "concepts.html"):
        page = (site / name).read_text(encoding="utf-8")
        assert page.count('<svg class="figure"') == 1
        assert "basic kernel</text>" in page


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_fault_in_any_page(site: Path, browser: Any, theme: str) -> None:
    # By HTTP: 404.html names its styles from the root, and the search runs.
    handler = partial(QuietHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        found = {page.name: faults(browser, f"{address}/{page.name}", theme) for page in site.glob("*.html")}
        server.shutdown()
    assert len(found) >= 19
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.slow
def test_the_pictures_can_be_made_again(tmp_path: Path, browser: Any) -> None:
    script = [sys.executable, str(ROOT / "docs/site/pictures.py"), str(tmp_path)]
    subprocess.run(script, check=True)
    pictures = {path.name: Image.open(path) for path in tmp_path.glob("*.png")}
    assert sorted(pictures) == sorted(path.name for path in (ROOT / "docs/pictures").glob("*.png"))
    assert pictures["report-light.png"].size == (1280, 1500)
    assert pictures["report-light.png"].getpixel((5, 5)) != pictures["report-dark.png"].getpixel((5, 5))


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_run(block: str) -> None:
    Path("examples").symlink_to(ROOT / "examples")
    exec(compile(block, "a page", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("block", blocks("toml"))
def test_toml_blocks_are_toml_and_configs_are_valid(block: str) -> None:
    tables = tomllib.loads(block)
    assert tables
    if tables.keys() <= SECTIONS.keys():
        resolve_config(merged(digits_tables(), tables), load_plugins(), "of a page")


def test_one_network_goes_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty folder: every block of the page, its commands where they stand."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "three-ways.md").read_text(encoding="utf-8")
    said, names = io.StringIO(), {"__name__": "page"}
    with redirect_stdout(said):
        for language, block in _BLOCK.findall(page):
            if language == "python":
                exec(compile(block, "the page", "exec"), names)
                continue
            for line in block.splitlines():
                more = ["--set", "training.rounds=1"] if " run " in line else []
                with pytest.raises(SystemExit) as ended:
                    main(shlex.split(line)[1:] + more)
                assert not ended.value.code, line
    assert "all 12 checks passed" in said.getvalue()
    (adapted,) = re.findall(r"([\d.]+)% with a difference of 530 numbers", said.getvalue())
    assert float(adapted) > 30  # chance is 10
    before, after = re.findall(r"([\d.]+)% before, ([\d.]+)% after", said.getvalue())[0]
    assert float(after) > float(before)


def test_every_block_is_of_a_language_that_is_checked() -> None:
    for page in PAGES:
        languages = {language for language, _ in _BLOCK.findall(page.read_text(encoding="utf-8"))}
        assert languages <= {"", "python", "toml"}, page.name


@pytest.mark.parametrize("block", blocks(""))
def test_commands_in_blocks_parse(block: str) -> None:
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line.partition(" > ")[0], comments=True)
        if words[:1] == ["genophen"]:
            parse(cli, words[1:])


def parse(command: click.Command, words: list[str]) -> None:
    """Parse a command line as the command would, without running it."""
    if isinstance(command, click.Group):
        name, inner, rest = command.resolve_command(click.Context(command, info_name=command.name), words)
        assert inner is not None, name
        parse(inner, rest)
    else:
        context = command.make_context(command.name, words)
        for key in ("config", "file"):
            check_example(context.params.get(key))


def check_example(path: Path | None) -> None:
    """A config that a page names is one that ships."""
    if path is not None and path.parts[0] == "examples":
        assert path.with_suffix("").as_posix().removeprefix("examples/") in shipped_examples()


def test_a_command_that_does_not_parse_is_noticed() -> None:
    with pytest.raises(click.ClickException):
        parse(cli, ["run", "examples/digits.toml", "--rounds", "3"])
    with pytest.raises(genophen.ConfigError):
        parse(cli, ["plugins", "lst"])
    with pytest.raises(AssertionError):
        parse(cli, ["run", "examples/digit.toml"])

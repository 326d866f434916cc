"""docs/write-a-plugin.md: its files are written, its commands run, in order, in an empty folder."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from conftest import ROOT
from hostile import ask

import genophen
from genophen.cli import cli
from genophen.plugins.loading import load_plugins
from genophen.plugins.skeleton import SKELETON_KINDS, skeleton

PAGE = (ROOT / "docs" / "write-a-plugin.md").read_text()


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of every block, a file's name in its first line."""
    yield from re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)


def part(title: str) -> str:
    """The text between a heading that begins so and the next one."""
    return PAGE[PAGE.index(f"\n## {title}") :].removeprefix("\n").partition("\n## ")[0]


def write_files(text: str) -> dict[str, Path]:
    """Write the blocks that name their file into the working directory."""
    files = {}
    for language, content in blocks(text):
        first, _, rest = content.partition("\n")
        if language and " " not in (name := first.removeprefix("# ")):
            Path(name).write_text(rest)
            files[name] = Path(name)
    return files


def commands(text: str) -> list[list[str]]:
    lines = [line for language, content in blocks(text) if not language for line in content.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("genophen ")]


def run_all(text: str) -> str:
    """Run the block's commands in this process; gives what they printed."""
    printed = ""
    for arguments in commands(text):
        out = ["--out", f"run-{len(list(Path().glob('run-*')))}"] if arguments[0] == "run" else []
        rounds = ["--set", "training.rounds=1"] if out else []
        answer = ask(*arguments, *rounds, *out)
        assert answer.code == 0, (arguments, answer)
        printed += answer.out
    return printed


def test_one_file_is_checked_counted_and_trained() -> None:
    assert set(write_files(part("1. One file"))) == {"residual.py", "digits.toml"}
    printed = run_all(part("1. One file"))
    assert "all 12 checks passed" in printed
    assert "residual by hypernetwork" in printed
    assert printed.count("test accuracy") == 2


def with_settings() -> None:
    """residual.py and digits.toml as they are after section 2."""
    write_files(part("1. One file"))
    options, changed = (
        content.partition("\n")[2] for language, content in blocks(part("2. Settings")) if language
    )
    text = Path("residual.py").read_text()
    head, _, rest = text.partition("\n\nclass Block")
    old = re.search(r"    def build\(self\):.*?\n        \)\n", rest, re.DOTALL)
    assert old is not None
    Path("residual.py").write_text(f"{head}\n{options}\n\nclass Block" + rest.replace(old.group(), changed))


def test_settings_are_shown_and_used() -> None:
    with_settings()
    assert "blocks  (integer >= 1 and <= 50; default 3)" in run_all(part("2. Settings"))


def test_the_package_announces_the_module_and_its_test_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings()
    write_files(part("3. A package"))
    project = tomllib.loads(Path("pyproject.toml").read_text())
    assert project["project"]["entry-points"]["genophen"] == {"residual": "residual"}
    assert project["tool"]["setuptools"]["py-modules"] == ["residual"]
    write_files(part("4. A test"))
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert pytest.main(["-q", "-p", "no:cacheprovider", "test_residual.py"]) == 0


@pytest.mark.parametrize("kind", [kind for kind in SKELETON_KINDS if kind != "architecture"])
def test_the_other_kinds_are_those_of_plugins_new(kind: str) -> None:
    write_files(part("1. One file"))
    section = part(kind.replace("dataset", "data set").capitalize() + "\n")
    ((file, text),) = ((name, path.read_text()) for name, path in write_files(section).items())
    name = commands(section)[0][2]
    made = skeleton(name, kind)
    assert (file, text) == (f"{made.names['module']}.py", made.texts[f"{made.names['module']}.py"])
    assert f"`genophen plugins new {name} --kind {kind}`" in section
    assert "checks passed" in run_all(section)
    if kind == "reporter":
        assert Path("run-0/rounds.csv").read_text().startswith("round,validation_accuracy,seconds\n0,")


def test_the_executor_runs_a_sweep() -> None:
    write_files(part("1. One file"))
    section = part("Executor")
    write_files(section)
    assert "all 3 checks passed" in run_all(section)
    Path("sweep.toml").write_text(
        'base = "digits.toml"\nconfig.training.rounds = 1\n[rows.b]\n[rows.a]\n'.replace("[rows", "\n[rows")
    )
    files = ["--plugin", "by_name.py", "--plugin", "residual.py"]
    answer = ask("sweep", "sweep.toml", "--out", "swept", "--executor", "by-name", *files)
    assert answer.code == 0, answer
    assert answer.err.index("a-seed0: test") < answer.err.index("b-seed0: test")


def test_every_command_of_the_page_exists() -> None:
    found = commands(PAGE)
    assert len(found) > 12
    for arguments in found:
        command: click.Command = cli
        while isinstance(command, click.Group):
            command = command.commands[arguments.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in arguments if word.startswith("--")} <= known, arguments


def test_names_in_the_page_exist() -> None:
    for name in set(re.findall(r"genophen\.([a-z_]+|[A-Z]\w+)\b(?!\.)", PAGE)) - {"testing"}:
        assert name in genophen.__all__, name
    for variable in set(re.findall(r"GENOPHEN_\w+", PAGE)):
        assert variable in (ROOT / "genophen" / "plugins" / "loading.py").read_text()
    assert load_plugins().names("executor") == ["local", "ray"]

"""What holds the layout together: imports run one way, plugins use public names, docs agree with the code."""

from __future__ import annotations

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import click
import pytest
from conftest import ROOT, SHIPPED

import genophen
from genophen.cli import cli
from genophen.cli.examples import shipped_examples
from genophen.plugins.loading import load_plugins

#: The wings, each of which may import those that stand below it, and nothing above.
WINGS = [
    "cli",
    "api",
    "runs",
    "report",
    "compare",
    "export",
    "sweep",
    "training",
    "testing",
    "plugins",
    "config",
    "control",
    "population",
    "data",
    "phenotype",
    "storage",
    "contracts",
    "errors",
]
LIBRARY = ROOT / "genophen"
#: Rooms that stand on each other at the most.
MOST_FLOORS = 14


def imported(file: Path, package: str) -> set[str]:
    """Full names of what a file imports from a package, wherever in the file but for typing alone."""
    tree = ast.parse(file.read_text())
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    for_typing = {node for block in blocks for node in ast.walk(block)}
    names = set()
    for node in ast.walk(tree):
        if node in for_typing:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name == package or name.startswith(f"{package}.")}


@pytest.mark.parametrize("wing", WINGS)
def test_imports_run_one_way(wing: str) -> None:
    above = set(WINGS[: WINGS.index(wing)])
    for file in [*(LIBRARY / wing).rglob("*.py"), LIBRARY / f"{wing}.py"]:
        if file.exists():
            found = {name.split(".")[1] for name in imported(file, "genophen") if "." in name}
            assert not found & above, f"{file} imports {found & above}, which stand above {wing}"


def test_no_two_files_import_each_other() -> None:
    files = {_module(file): file for file in LIBRARY.rglob("*.py") if not file.stem.startswith("__")}
    order = TopologicalSorter({name: imported(file, "genophen") & set(files) for name, file in files.items()})
    order.prepare()  # raises CycleError


def test_the_rooms_stand_on_few_floors() -> None:
    """Floors: a room stands above all that it imports, a wing's folder being one room."""
    below: dict[str, set[str]] = {}
    for wing in WINGS:
        files = [*(LIBRARY / wing).rglob("*.py"), *LIBRARY.glob(f"{wing}.py")]
        names = {name for file in files for name in imported(file, "genophen") if "." in name}
        below[wing] = {name.split(".")[1] for name in names} & set(WINGS) - {wing}
    floors: dict[str, int] = {}
    for wing in TopologicalSorter(below).static_order():
        floors[wing] = 1 + max((floors[other] for other in below[wing]), default=0)
    assert max(floors.values()) <= MOST_FLOORS, floors


def test_a_module_name_stands_once() -> None:
    """Files of two wings are named like what they call or check, as CONTRIBUTING.md says."""
    names = [file.stem for file in LIBRARY.rglob("*.py") if not file.stem.startswith("__")]
    named_like_others = {file.stem for wing in ("cli", "testing") for file in (LIBRARY / wing).glob("*.py")}
    assert {name for name in names if names.count(name) > 1} <= named_like_others


def test_the_wings_are_all_that_there_is() -> None:
    files = {file.stem for file in LIBRARY.glob("*.py") if not file.stem.startswith("_")}
    folders = {file.parent.name for file in LIBRARY.glob("*/__init__.py")}
    assert files | folders == set(WINGS)
    # Importing a module would put it in the place of the public name.
    assert not set(WINGS) & set(genophen.__all__)


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("file", sorted((ROOT / "genophen").rglob("*.py")), ids=lambda file: file.stem)
def test_the_library_imports_no_plugin_and_no_optional_package(file: Path) -> None:
    for package in ("genophen_plugins", "evotorch", "ray"):
        assert not imported(file, package)


@pytest.mark.parametrize("wing", ["compare", "export", "report", "sweep", "training"])
def test_what_is_done_with_runs_names_no_plugin(wing: str) -> None:
    registered = load_plugins().registered.values()
    names = {name for plugins in registered for name in plugins} - {"classification"}  # the core's own
    for file in (LIBRARY / wing).glob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text()))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
        assert not texts & names, file


@pytest.mark.parametrize("file", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda file: file.stem)
def test_shipped_plugins_use_public_names_alone(file: Path) -> None:
    assert imported(file, "genophen") <= {"genophen"}
    used = set(re.findall(r"\bgenophen\.(\w+)", file.read_text()))
    assert used <= set(genophen.__all__), used - set(genophen.__all__)


def test_every_public_name_is_there() -> None:
    assert set(genophen.__all__) == {"__version__", *genophen._MODULE_OF}
    for name in genophen.__all__:
        assert getattr(genophen, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        genophen.nonsense  # noqa: B018


def test_files_are_small() -> None:
    files = [*(ROOT / "genophen").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    lines = {file: len(file.read_text().splitlines()) for file in files}
    assert max(lines.values()) <= 300, max(lines, key=lines.get)


def test_the_suite_loads_exactly_the_shipped_entry_points() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(SHIPPED.split(",")) == set(project["entry-points"]["genophen"])
    assert project["version"] == genophen.__version__


def test_contributing_says_each_wings_own_sentence() -> None:
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert [name for name, _ in rows] == WINGS
    for name, sentence in rows:
        assert (import_module(f"genophen.{name}").__doc__ or "").startswith(sentence), name


def test_ten_questions_are_answered_by_one_file_each() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Ten questions")[2]
    rows = re.findall(r"^\| ([^|`]+\?) \| `([^`]+)` \| (?:`(\w+)`)? ?\|$", text, re.M)
    assert len(rows) == 10
    for question, file, name in rows:
        nodes = ast.walk(ast.parse((ROOT / file).read_text()))
        defined = {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        assert not name or name in defined, question


def test_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in cli.commands:
        assert f"`genophen {name}" in readme


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_readmes_plugin_trains(tmp_path: Path) -> None:
    from genophen.testing import check_architecture

    file = tmp_path / "tiny.py"
    file.write_text(blocks("python")[1])
    check_architecture(load_plugins([file]).get("architecture", "tiny").cls)
    result = genophen.run(
        ROOT / "examples" / "digits.toml",
        overrides=['architecture.name="tiny"', "training.rounds=1"],
        plugin_files=[file],
        out=tmp_path / "run",
    )
    assert result["architecture"] == "tiny"


def test_options_in_text_exist() -> None:
    groups = [command for command in cli.commands.values() if isinstance(command, click.Group)]
    commands = [*cli.commands.values(), *(inner for group in groups for inner in group.commands.values())]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = re.sub(r"tensorboard --logdir", "", page.read_text())  # another tool's
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known, page.name


def test_the_wheel_has_every_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {file.parent for root in ("genophen", "plugins") for file in (ROOT / root).rglob("__init__.py")}
    packages = {
        str(folder.relative_to(ROOT)).removeprefix("plugins/").replace("/", ".") for folder in folders
    }
    assert set(settings["packages"]) == packages | {"genophen.examples"}
    files = settings["package-data"]["genophen.examples"]
    assert set(shipped_examples().values()) == {
        file for each in files for file in ROOT.glob(f"examples/{each}")
    }

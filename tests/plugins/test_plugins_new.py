"""`genophen plugins new`: a package that works, written into an empty folder alone."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from conftest import ROOT
from hostile import ask

from genophen.config.config import resolve_config
from genophen.config.toml import read_toml
from genophen.plugins.loading import load_plugins
from genophen.plugins.skeleton import SKELETON_KINDS


@pytest.mark.parametrize("kind", SKELETON_KINDS)
def test_the_package_is_whole_and_its_test_passes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask("plugins", "new", f"my-{kind}", "--kind", kind)
    assert answer.code == 0, answer
    folder = Path(f"genophen-my-{kind}")
    written = [str(file) for file in folder.rglob("*") if file.is_file()]
    assert sorted(line for line in answer.out.splitlines() if line.startswith("genophen-my")) == sorted(
        written
    )
    module = f"genophen_my_{kind}"
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["genophen"] == {f"my-{kind}": module}
    assert project["tool"]["setuptools"]["py-modules"] == [module]
    plugins = load_plugins([folder / f"{module}.py"])
    assert plugins.registered[kind][f"my-{kind}"].cls.__name__ == f"My{kind.capitalize()}"
    assert resolve_config(read_toml(folder / "digits.toml"), plugins, "x").architecture.name == "mnist-cnn"
    monkeypatch.syspath_prepend(str(folder.resolve()))
    assert pytest.main(["-q", "-p", "no:cacheprovider", str(folder)]) == 0


def test_nothing_is_ever_overwritten() -> None:
    folder = Path("mine")
    folder.mkdir()
    (folder / "notes.txt").write_text("keep")
    answer = ask("plugins", "new", "tiny", "--out", folder)
    assert answer.code == 2
    assert "nothing is ever overwritten" in answer.err
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]
    answer = ask("plugins", "new", "tiny", "--out", folder / "notes.txt")
    assert answer.code == 2
    assert "it is a file" in answer.err
    assert (folder / "notes.txt").read_text() == "keep"
    answer = ask("plugins", "new", "tiny", "--out", folder / "notes.txt" / "tiny")
    assert answer.code == 1
    assert "cannot write the package" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Tiny Net"], "'Tiny Net': give a kebab-case name, such as 'wide-resnet'"),
        (["../tiny"], "give a kebab-case name"),
        (["name"], "'name', a key of the section [architecture]"),
        (["vgg-block1"], "vgg (genophen "),
        (["tiny", "--kind", "architektur"], "did you mean architecture?"),
        (
            ["tiny", "--kind", "executor"],
            "genotype, optimizer, dataset, task, reporter",
        ),
    ],
)
def test_names_and_kinds_that_no_plugin_can_have_are_refused(arguments: list[str], said: str) -> None:
    answer = ask("plugins", "new", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert not list(Path().iterdir())


@pytest.mark.parametrize("name", ["none", "3d", "a", "class", "genophen"])
def test_any_name_that_a_plugin_can_have_makes_a_module(name: str) -> None:
    assert ask("plugins", "new", name).code == 0
    (file,) = Path(f"genophen-{name}").glob("*.py")
    answer = ask("plugins", "check", name, "--plugin", file)
    assert answer.code == 0, answer


EXAMPLE = ROOT / "examples" / "genophen-wideresnet"


def test_the_example_package_is_what_its_configs_and_readme_say() -> None:
    plugin = ("--plugin", EXAMPLE / "genophen_wideresnet.py")
    cifar, comparison = EXAMPLE / "cifar.toml", EXAMPLE / "comparison.toml"
    assert cifar.read_text().startswith("# genophen run examples/genophen-wideresnet/cifar.toml\n")
    assert comparison.read_text().startswith(
        "# genophen sweep examples/genophen-wideresnet/comparison.toml --out"
    )
    readme = (EXAMPLE / "README.md").read_text()
    rows = {"direct": ("73,728", "77,850"), "hypernetwork": ("7,312", "11,434")}
    for genotype, (kernel, total) in rows.items():
        answer = ask("params", cifar, "--genotype", genotype, *plugin)
        assert [line.split()[1] for line in answer.out.splitlines() if "total" in line] == [total]
        assert f"| {kernel} | {total} |" in readme
    assert ask("plugins", "check", "wide-resnet", *plugin).code == 0
    assert ask("run", cifar, "--dry-run", *plugin, "--dataset", "digits").code == 0


def test_the_example_sweep_can_be_planned() -> None:
    from genophen.sweep.file import read_sweep
    from genophen.sweep.sweep import plan

    trials = plan(
        read_sweep(EXAMPLE / "comparison.toml"),
        Path("out"),
        load_plugins([EXAMPLE / "genophen_wideresnet.py"]),
    )
    assert [trial.directory.name for trial in trials] == [
        "direct-seed0",
        "Hyper16_16-seed0",
        "Hyper32_32-seed0",
    ]

"""genophen and a third-party plugin as a user has them: wheels, installed into an empty environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

import genophen
from genophen.cli.examples import shipped_examples

pytestmark = pytest.mark.slow
PLUGIN = ROOT / "examples" / "genophen-wideresnet"


@dataclass
class Installation:
    """A virtual environment, the wheels that are installed in it, and an empty folder to work in."""

    venv: Path
    wheels: dict[str, Path]
    folder: Path

    def run(self, *command: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, as if no source tree were there."""
        program, *arguments = map(str, command)
        done = subprocess.run(
            [str(self.venv / "bin" / program), *arguments],
            cwd=self.folder,
            env=without_source_tree(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def pip(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "pip", "--python", self.venv / "bin" / "python", *arguments]
        subprocess.run(
            [str(word) for word in command], check=True, capture_output=True, env=without_source_tree()
        )


def without_source_tree() -> dict[str, str]:
    """The environment's variables, less those that lead to other code than what is installed."""
    hidden = ("GENOPHEN_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONNOUSERSITE": "1"}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("install")
    source = folder / "source"
    source.mkdir()
    for name in ("genophen", "plugins", "tests", "examples"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for tree in (source, source / PLUGIN.relative_to(ROOT)):
        command = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(folder),
            str(tree),
        ]
        built = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        assert built.returncode == 0, built.stdout + built.stderr
    wheels = {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}
    shutil.rmtree(source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    installed = Installation(folder / "venv", wheels, folder / "work")
    installed.folder.mkdir()
    installed.pip("install", "--no-deps", "--no-index", *wheels.values())
    # Dependencies are those of the environment that the tests run in: found after the new one's own packages,
    # and without that environment's .pth files, which would lead to the source tree.
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return installed


def test_the_wheel_holds_the_library_and_the_shipped_plugins_alone(installation: Installation) -> None:
    names = set(zipfile.ZipFile(installation.wheels["genophen"]).namelist())
    sources = {
        str(file.relative_to(base))
        for base, package in ((ROOT, "genophen"), (ROOT / "plugins", "genophen_plugins"))
        for file in (base / package).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    sources |= {
        f"genophen/examples/{file.relative_to(ROOT / 'examples')}" for file in shipped_examples().values()
    }
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert {
        "genophen/py.typed",
        "genophen_plugins/py.typed",
        "genophen/skeletons/pyproject.toml.txt",
    } <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_what_is_imported_is_what_was_installed(installation: Installation) -> None:
    for module in ("genophen", "genophen_plugins.architectures.vgg", "genophen_wideresnet"):
        code = f"import {module} as module; print(module.__file__)"
        assert Path(installation.run("python", "-c", code).stdout).is_relative_to(installation.venv)
    version = installation.run("genophen", "--version").stdout
    assert version == f"genophen, version {genophen.__version__}\n"


def test_the_plugins_own_tests_pass(installation: Installation) -> None:
    shutil.copytree(PLUGIN / "tests", installation.folder / "tests")  # without the module: the installed one
    done = installation.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert "passed" in done.stdout


def test_the_plugin_is_listed_checked_and_trained(installation: Installation) -> None:
    listed = json.loads(installation.run("genophen", "plugins", "list", "--json").stdout)
    (plugin,) = (plugin for plugin in listed["plugins"] if plugin["name"] == "wide-resnet")
    assert (plugin["kind"], plugin["distribution"]) == ("architecture", "genophen-wideresnet")
    assert listed["failures"] == []
    checked = installation.run("genophen", "plugins", "check", "wide-resnet").stdout
    assert "all 12 checks passed" in checked
    run = ["genophen", "run", ROOT / "examples" / "digits.toml", "--architecture", "wide-resnet"]
    done = installation.run(*run, "--set", "training.rounds=1", "--out", "mine", "--json")
    result = json.loads(done.stdout)
    assert (result["architecture"], result["status"]) == ("wide-resnet", "completed")
    assert result["parameters"]["direct"] == 4_122
    environment = (installation.folder / "mine" / "environment.json").read_text()
    assert "genophen-wideresnet" in environment


def test_plugins_new_works_from_the_wheel(installation: Installation) -> None:
    installation.run("genophen", "plugins", "new", "tiny", "--kind", "genotype")
    file = "genophen-tiny/genophen_tiny.py"
    assert (
        "all 8 checks passed"
        in installation.run("genophen", "plugins", "check", "tiny", "--plugin", file).stdout
    )
    done = installation.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "genophen-tiny")
    assert "1 passed" in done.stdout


def test_uninstalled_it_is_gone(installation: Installation) -> None:
    installation.pip("uninstall", "--yes", "genophen-wideresnet")
    assert "wide-resnet" not in installation.run("genophen", "plugins", "list").stdout
    done = installation.run("genophen", "plugins", "check", "wide-resnet", code=5)
    assert "install the package that has it" in done.stderr

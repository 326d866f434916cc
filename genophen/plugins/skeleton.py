"""Packages for authors to start from, written from the templates in `skeletons/`."""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from genophen.errors import ConfigError, nearest
from genophen.plugins.contract import name_problem
from genophen.storage.files import writing

SKELETON_KINDS = ("architecture", "genotype", "optimizer", "dataset", "task", "reporter")


@dataclass(frozen=True)
class Skeleton:
    """A package with one plugin: names by template variable, and texts by path in the package."""

    names: dict[str, str]
    texts: dict[str, str]


def skeleton(name: str, kind: str) -> Skeleton:
    """The package of a plugin NAME of a kind.

    Raises:
        ConfigError: for a name or a kind that no plugin can have.
    """
    attempted = f"cannot begin the {kind} {name!r}"
    if kind not in SKELETON_KINDS:
        raise ConfigError(
            f"cannot begin a plugin of the kind {kind!r}",
            found="no such kind",
            allowed=", ".join(SKELETON_KINDS),
            next_step=nearest(kind, SKELETON_KINDS),
        )
    if problem := name_problem(kind, name):
        raise ConfigError(attempted, found=problem)
    option = f"--{kind} {name}" + (" --architecture mlp --genotype direct" if kind == "task" else "")
    names = {
        "name": name,
        "kind": kind,
        "cls": _class_name(name),
        "distribution": f"genophen-{name}",
        "module": f"genophen_{name.replace('-', '_')}",
        "use": f"genophen run digits.toml {option}",
    }
    test = "test_dataset.py" if kind == "dataset" else "test_plugin.py"
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "digits.toml": "digits.toml",
        f"{names['module']}.py": f"{kind}.py",
        f"tests/test_{name.replace('-', '_')}.py": test,
    }
    return Skeleton(names, {path: _render(template, names) for path, template in templates.items()})


def write_skeleton(written: Skeleton, folder: Path) -> list[Path]:
    """Write the package into a folder that is absent or empty; gives its files.

    Raises:
        ConfigError: for a folder that holds something.
        GenophenError: where it cannot be written.
    """
    place, paths = f"the package into {folder}", []
    with writing(place, "--out DIR"):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"cannot write {place}",
                found="it is not empty; nothing is ever overwritten" if folder.is_dir() else "it is a file",
                allowed="a folder that is absent or empty",
                next_step="name another: --out DIR",
            )
        for path, text in written.texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
            paths.append(file)
    return paths


def _render(template: str, names: dict[str, str]) -> str:
    text = (files("genophen") / "skeletons" / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(names)


def _class_name(name: str) -> str:
    words = "".join(word.capitalize() for word in name.split("-"))
    return words if words.isidentifier() and not keyword.iskeyword(words) else f"Plugin{words}"

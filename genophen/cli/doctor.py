"""`genophen doctor`: does this machine have what a run needs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genophen.cli.common import data_dir_option, json_option, plugin_options, print_json, show
from genophen.cli.process import waiting

if TYPE_CHECKING:
    from genophen.plugins.registry import Plugins


@click.command()
@data_dir_option
@json_option
@plugin_options
def doctor(data_dir: Path | None, as_json: bool, plugin_files: tuple[Path, ...], debug: bool) -> int:
    """Show versions, devices, data, disk and plugins, and train for a moment. Exit code 1: a problem."""
    import torch

    from genophen.config.settings import default_data_dir
    from genophen.plugins.loading import load_plugins
    from genophen.storage.environment import machine, package_versions

    plugins = load_plugins(plugin_files)
    folder = default_data_dir() if data_dir is None else data_dir.absolute()
    checks: dict[str, Any] = {
        "packages": package_versions(),
        "machine": machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        | {"waiting": waiting()},
        "data": {"folder": str(folder), **_data_sets(folder)},
        "free_disk_gib": round(shutil.disk_usage(Path.cwd()).free / 2**30, 1),
        "plugins": {kind: sorted(found) for kind, found in plugins.registered.items()},
        "short_run": _short_run(plugins),
    }
    problems = [*map(str, plugins.failures), *plugins.notes]
    problems += [
        f"the package {name} is not installed" for name, v in checks["packages"].items() if v is None
    ]
    if checks["short_run"] != "completed":
        problems.append(f"a short run failed: {checks['short_run']}")
    if checks["free_disk_gib"] < 1:
        problems.append(f"only {checks['free_disk_gib']} GiB of disk are free in {Path.cwd()}")
    checks["problems"] = problems
    if as_json:
        print_json(checks)
    else:
        _print(checks)
    return 1 if problems else 0


def _data_sets(folder: Path) -> dict[str, bool]:
    """Whether the data sets that are downloaded on demand lie in the folder."""
    return {
        "mnist": (folder / "MNIST" / "raw").is_dir(),
        "fashion-mnist": (folder / "FashionMNIST" / "raw").is_dir(),
        "cifar10": (folder / "cifar-10-batches-py").is_dir(),
    }


def _short_run(plugins: Plugins) -> str:
    """The status of one round of the main job on the embedded digits, or what went wrong."""
    from genophen.config.config import resolve_config
    from genophen.errors import GenophenError
    from genophen.training.start import run_config

    tables = {
        "dataset": {"name": "digits"},
        "architecture": {"name": "mnist-cnn"},
        "genotype": {"hypernetwork": {"embedding_dim": 4}},
        "training": {"rounds": 1},
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            config = resolve_config(tables, plugins, "of the short run")
            _, result = run_config(config, plugins, "doctor", Path(folder) / "run")
            return str(result["status"])
    except (GenophenError, OSError) as error:
        return str(error)


def _print(checks: dict[str, Any]) -> None:
    for title in ("packages", "machine", "data"):
        show(f"{title}:")
        for name, value in checks[title].items():
            show(f"  {name:<14} {_in_words(value)}")
    show(f"free disk: {checks['free_disk_gib']} GiB")
    show("plugins:")
    for kind, names in checks["plugins"].items():
        show(f"  {kind:<14} {', '.join(names)}")
    show(f"short run on digits: {checks['short_run']}")
    if checks["problems"]:
        show("problems:")
        for problem in checks["problems"]:
            show(f"  - {problem}")
    else:
        show("no problems found")


def _in_words(value: object) -> object:
    if isinstance(value, bool):  # by its type: the number 1 equals True
        return "there" if value else "not there"
    return "not installed" if value is None else value

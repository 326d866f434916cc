"""Finding plugins by entry point or file, and loading each of them apart from the others."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from genophen import __version__
from genophen.contracts import hookspecs
from genophen.data.classification import Classification
from genophen.errors import (
    PluginError,
    listed,
    nearest,
    one_line,
    printable,
)
from genophen.plugins.contract import KINDS, contract_problem
from genophen.plugins.isolation import cause_of_loading, contained
from genophen.plugins.registry import Failure, Plugins, Source
from genophen.storage.files import read_file


def load_plugins(files: Sequence[Path] = (), *, keep_going: bool = False) -> Plugins:
    """Load the installed plugins (entry-point group `genophen`) and the single files named.

    `GENOPHEN_LOAD_PLUGINS`, a comma-separated list of entry-point names, selects the installed ones; empty
    means none. An installed plugin that fails is recorded in `failures`; one of a file's, too, with
    `keep_going`, so that what is sound in it can be looked at.

    Raises:
        PluginError: for a file with anything in it that cannot be loaded, since it was asked for by name; and
            for any failure where `GENOPHEN_STRICT_PLUGINS=1`.
    """
    manager = pluggy.PluginManager("genophen")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins()
    # Not by entry point: a config that names no task means this one, whatever is installed.
    plugins.add("task", Classification, Source("classification", "genophen", __version__))
    for entry_point in _selected_entry_points(plugins):
        _load_one(manager, plugins, _entry_point_source(entry_point), entry_point.load)
    complaints = [*map(str, plugins.failures), *plugins.notes]
    if complaints and os.environ.get("GENOPHEN_STRICT_PLUGINS") == "1":
        raise PluginError("cannot load every plugin", found="; ".join(complaints))
    for file in {file.resolve(): file for file in files}.values():
        before = len(plugins.failures)
        source = _file_source(file)
        _load_one(manager, plugins, source, lambda file=file: _import_file(file))  # type: ignore[misc]
        causes = [failure.cause for failure in plugins.failures[before:]]
        if causes and not keep_going:
            raise PluginError(f"cannot load the plugin {file}", found="; ".join(causes))
    return plugins


def _selected_entry_points(plugins: Plugins) -> list[EntryPoint]:
    # One of each: an interrupted `pip` leaves a second copy of a distribution's metadata behind.
    found = {(point.name, point.value): point for point in entry_points(group="genophen")}
    every = [found[key] for key in sorted(found)]
    wanted = os.environ.get("GENOPHEN_LOAD_PLUGINS")
    if wanted is None:
        return every
    names = {name.strip() for name in wanted.split(",") if name.strip()}
    for absent in sorted(names - {point.name for point in every}):
        source = Source(absent, "GENOPHEN_LOAD_PLUGINS", "")
        plugins.failures.append(Failure(source, "no installed plugin has that entry-point name"))
    return [point for point in every if point.name in names]


def _entry_point_source(point: EntryPoint) -> Source:
    try:
        assert point.dist is not None
        return Source(point.name, point.dist.metadata["Name"] or point.value, point.dist.version or "")
    except Exception:  # a distribution without readable metadata can be imported all the same
        return Source(point.name, point.value, "")


def _file_source(file: Path) -> Source:
    try:
        content = read_file(file)
    except (OSError, ValueError) as error:
        raise PluginError(
            f"cannot read the plugin file {file}",
            found=getattr(error, "strerror", None) or str(error),
            next_step="give --plugin the path of a Python file",
        ) from None
    # As it is printed: `environment.json` has it, and a path need not be UTF-8.
    place = printable(str(file.resolve()))
    return Source(printable(file.stem), place, "", hashlib.sha256(content).hexdigest())


def _import_file(file: Path) -> ModuleType:
    name = f"genophen_plugin_file_{hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that its classes can be found by name, as pickling and pydantic do
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_one(
    manager: pluggy.PluginManager, plugins: Plugins, source: Source, load: Callable[[], Any]
) -> None:
    """Import one plugin and let it register its classes; any failure is recorded, none is raised."""
    changes: list[str] = []
    causes: list[str] = []
    problems: list[tuple[str, object, str]] = []
    try:
        with contained(changes):
            plugin = load()
            wrong = _hook_problems(manager, plugin)
            causes += wrong.values()
            for kind, cls in _collect(manager, plugin, wrong, causes):
                problems.append((kind, cls, contract_problem(kind, cls)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even call sys.exit() as it is imported
        causes.append(cause_of_loading(error))
    plugins.failures += [Failure(source, one_line(cause)) for cause in causes]
    if changes:
        changed = ", ".join(changes)
        plugins.notes.append(f"plugin {source} changed {changed} as it was loaded: put back as before")
    for kind, cls, problem in problems:
        if problem:
            plugins.failures.append(Failure(source, one_line(problem)))
        else:
            plugins.add(kind, cls, source)


def _hook_problems(manager: pluggy.PluginManager, plugin: object) -> dict[str, str]:
    """What is wrong with a plugin's hooks, by their names; pluggy would pass over it, or stop at it."""
    known = {hook for hook, _ in KINDS.values()}
    implemented = [name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]
    if not implemented:
        return {"": f"it implements no hook (mark one with @genophen.hookimpl: {listed(known)})"}
    problems = {}
    for name in implemented:
        if name not in known:
            hint = nearest(name, known) or "hooks: " + listed(known)
            problems[name] = f"there is no hook {name!r}; {hint}"
            continue
        taken = list(inspect.signature(getattr(plugin, name)).parameters)
        if taken not in ([], ["register"]):
            problems[name] = f"its {name} takes {', '.join(taken)}: write def {name}(register)"
    return problems


def _collect(
    manager: pluggy.PluginManager, plugin: object, wrong: Mapping[str, str], causes: list[str]
) -> Iterable[tuple[str, object]]:
    """The (kind, class) pairs that a plugin's hooks register, but for those that are `wrong`.

    What goes wrong in a hook goes to `causes`. The hooks are called here and not by pluggy, which would leave
    out a plugin as a whole where one of them is wrong.
    """
    for kind, (hook, _) in KINDS.items():
        options = manager.parse_hookimpl_opts(plugin, hook)
        if options is None or hook in wrong:
            continue
        implementation = getattr(plugin, hook)
        if not inspect.signature(implementation).parameters or options["hookwrapper"] or options["wrapper"]:
            causes.append(f"its {hook} registers nothing: write def {hook}(register)")
            continue
        classes: list[object] = []
        try:
            implementation(classes.append)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the hook's own code
            causes.append(cause_of_loading(error))
        yield from ((kind, cls) for cls in classes)

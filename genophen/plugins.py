"""Finding and loading plugins, each by itself: a broken one is named, and the others work."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from genophen import hookspecs
from genophen.contract import KINDS, contract_problem
from genophen.errors import (
    GenophenError,
    PluginError,
    lacks_memory,
    listed,
    nearest,
    no_memory,
    one_line,
    printable,
    unknown_name,
)
from genophen.isolation import cause, cause_of_loading, contained
from genophen.options import Options
from genophen.reporter import Guarded, Reporter

#: What to do about a name that nothing is like.
_OTHERWISE = "install the package that has it, or name its file with --plugin FILE.py"


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from."""

    name: str
    distribution: str
    version: str
    #: SHA-256 of a single-file plugin; empty for an installed one, which its version identifies.
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})".replace(" )", ")")


@dataclass(frozen=True)
class Failure:
    """A plugin that could not be loaded, or something of it that could not be registered."""

    source: Source
    cause: str

    def __str__(self) -> str:
        return f"plugin {self.source} is left out: {self.cause}"


@dataclass(frozen=True)
class Plugin:
    """One registered class."""

    kind: str
    name: str
    cls: type
    source: Source


@dataclass
class Plugins:
    """All registered classes by kind and name, and what went wrong in registering others."""

    registered: dict[str, dict[str, Plugin]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    failures: list[Failure] = field(default_factory=list)
    #: What else the user should know of plugins that work.
    notes: list[str] = field(default_factory=list)
    _duplicates: dict[tuple[str, str], list[Source]] = field(default_factory=dict)

    def names(self, kind: str) -> list[str]:
        return sorted(self.registered[kind])

    def get(self, kind: str, name: str) -> Plugin:
        """The plugin of that kind and name.

        Raises:
            PluginError: where there is none, with the nearest known name, or more than one.
        """
        attempted = f"cannot use the {kind} {name!r}"
        if sources := self._duplicates.get((kind, name)):
            raise PluginError(
                attempted,
                found=f"two plugins register that name: {' and '.join(map(str, sources))}",
                allowed="one plugin a name",
                next_step="uninstall one of them, or name the plugins to load in GENOPHEN_LOAD_PLUGINS",
            )
        if name not in self.registered[kind]:
            parts = unknown_name("plugin", self.names(kind), name, _OTHERWISE)
            parts["found"] = "; ".join([parts["found"], *map(str, self.failures)])
            raise PluginError(attempted, **parts)
        return self.registered[kind][name]

    def named(self, name: str, verb: str) -> list[Plugin]:
        """The plugins of that name, of every kind; `verb` says what they are wanted for.

        Raises:
            PluginError: where there is none.
        """
        taken = [kind for kind, known in self._duplicates if known == name]
        found = [self.get(kind, name) for kind in KINDS if name in self.registered[kind] or kind in taken]
        if not found:
            every = sorted({known for kind in KINDS for known in self.registered[kind]})
            parts = unknown_name("plugin", every, name, _OTHERWISE)
            parts["found"] = "; ".join([parts["found"], *map(str, self.failures)])
            raise PluginError(f"cannot {verb} the plugin {name!r}", **parts)
        return found

    @contextmanager
    def blame(self, kind: str, name: str) -> Iterator[None]:
        """Turn an exception of a plugin's own code into a PluginError that names the plugin.

        What the code prints goes to stderr: stdout is for what the user asked for.
        """
        try:
            with redirect_stdout(sys.stderr):
                yield
        except (GenophenError, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit, GeneratorExit and classes of the plugin's own among them
            if lacks_memory(error):
                raise no_memory(error) from error
            raise PluginError(
                f"cannot use the {kind} {name}",
                found=f"its plugin {self.get(kind, name).source} raised {cause(error)}",
                next_step="--debug shows where; `genophen plugins show` lists its settings",
            ) from error

    def options(self, kind: str, name: str) -> type[Options]:
        cls = self.get(kind, name).cls
        return getattr(cls, "Options", Options)

    def reporter(self, name: str, notify: Callable[[str], None]) -> Reporter:
        """A reporter of that name; should it raise, `notify` is told once, and the run goes on without it."""
        plugin = self.get("reporter", name)
        with self.blame("reporter", name):
            return Guarded(plugin.cls(), name, notify)

    def add(self, kind: str, cls: Any, source: Source) -> None:
        """Register a class that keeps its kind's contract, or record that its name is taken."""
        name = str(cls.name)
        earlier = self.registered[kind].pop(name, None)
        sources = self._duplicates.get((kind, name), [] if earlier is None else [earlier.source])
        if not sources:
            self.registered[kind][name] = Plugin(kind, name, cls, source)
            return
        self._duplicates[kind, name] = [*sources, source]
        others = " and ".join(map(str, sources))
        self.failures.append(
            Failure(
                source,
                f"its {kind} {name!r} is already registered by {others}: neither is used; "
                "leave out --plugin for one that is installed, or rename yours",
            )
        )


def load_plugins(files: Sequence[Path] = ()) -> Plugins:
    """Load the installed plugins (entry-point group `genophen`) and the single files named.

    `GENOPHEN_LOAD_PLUGINS`, a comma-separated list of entry-point names, selects the installed ones; empty
    means none. An installed plugin that fails is recorded in `failures`.

    Raises:
        PluginError: for a file that cannot be loaded, since it was asked for by name; and for any failure
            where `GENOPHEN_STRICT_PLUGINS=1`.
    """
    manager = pluggy.PluginManager("genophen")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins()
    for entry_point in _selected_entry_points(plugins):
        _load_one(manager, plugins, _entry_point_source(entry_point), entry_point.load)
    complaints = [*map(str, plugins.failures), *plugins.notes]
    if complaints and os.environ.get("GENOPHEN_STRICT_PLUGINS") == "1":
        raise PluginError("cannot load every plugin", found="; ".join(complaints))
    for file in {file.resolve(): file for file in files}.values():
        before = len(plugins.failures)
        source = _file_source(file)
        _load_one(manager, plugins, source, lambda file=file: _import_file(file))  # type: ignore[misc]
        if len(plugins.failures) > before:
            raise PluginError(f"cannot load the plugin {file}", found=plugins.failures[-1].cause)
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
        content = file.read_bytes()
    except OSError as error:
        raise PluginError(
            f"cannot read the plugin file {file}",
            found=error.strerror or str(error),
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
    try:
        with contained(changes):
            plugin = load()
            _check_hooks(manager, plugin)
            manager.register(plugin)
            problems = [(kind, cls, contract_problem(kind, cls)) for kind, cls in _collect(manager, plugin)]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even call sys.exit() as it is imported
        plugins.failures.append(Failure(source, cause_of_loading(error)))
        problems = []
    if changes:
        changed = ", ".join(changes)
        plugins.notes.append(f"plugin {source} changed {changed} as it was loaded: put back as before")
    for kind, cls, problem in problems:
        if problem:
            plugins.failures.append(Failure(source, one_line(problem)))
        else:
            plugins.add(kind, cls, source)


def _check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Raise where the plugin implements a hook that does not exist, which pluggy would pass over."""
    known = {hook for hook, _ in KINDS.values()}
    implemented = [name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]
    for name in implemented:
        if name not in known:
            raise TypeError(f"there is no hook {name!r}; {nearest(name, known) or 'hooks: ' + listed(known)}")
        taken = list(inspect.signature(getattr(plugin, name)).parameters)
        if taken not in ([], ["register"]):
            raise TypeError(f"its {name} takes {', '.join(taken)}: write def {name}(register)")
    if not implemented:
        raise TypeError(f"it implements no hook (mark one with @genophen.hookimpl: {listed(known)})")


def _collect(manager: pluggy.PluginManager, plugin: object) -> Iterable[tuple[str, object]]:
    """The (kind, class) pairs that one plugin's own hook implementations register."""
    for kind, (hook, _) in KINDS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is plugin:
                if "register" not in implementation.argnames or implementation.hookwrapper:
                    raise TypeError(f"its {hook} registers nothing: write def {hook}(register)")
                classes: list[object] = []
                implementation.function(*(classes.append for _ in implementation.argnames))
                yield from ((kind, cls) for cls in classes)

"""The plugins that are there, by kind and name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from genophen.contracts.executor import Executor
from genophen.contracts.options import Options
from genophen.contracts.reporter import Reporter
from genophen.errors import (
    GenophenError,
    PluginError,
    lacks_memory,
    no_memory,
    unknown_name,
)
from genophen.plugins.contract import KINDS
from genophen.plugins.guarded import Guarded
from genophen.plugins.isolation import cause

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
            unforeseen = PluginError(
                f"cannot use the {kind} {name}",
                found=f"its plugin {self.get(kind, name).source} raised {cause(error)}",
                next_step="--debug shows where; `genophen plugins show` lists its settings",
            )
            unforeseen.foreseen = False
            raise unforeseen from error

    def options(self, kind: str, name: str) -> type[Options]:
        cls = self.get(kind, name).cls
        return getattr(cls, "Options", Options)

    def reporter(self, name: str, notify: Callable[[str], None]) -> Reporter:
        """A reporter of that name; should it raise, `notify` is told once, and the run goes on without it."""
        plugin = self.get("reporter", name)
        with self.blame("reporter", name):
            return Guarded(plugin.cls(), name, notify)

    def executor(self, name: str, jobs: int, address: str | None = None) -> Executor:
        """An executor of that name, for so many jobs at a time, on the cluster at `address` if given."""
        plugin = self.get("executor", name)
        with self.blame("executor", name):
            executor: Executor = plugin.cls(jobs, address)
        return executor

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

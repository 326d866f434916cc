"""The config of a run: from TOML tables to validated settings, with every mistake named at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from genophen.config.fit import misfit
from genophen.config.settings import WITHOUT_EFFECT, DataSettings, TrainingSettings
from genophen.config.toml import flattened, write_toml
from genophen.contracts.options import Options, read_options, shown, with_absolute_paths
from genophen.data.augmentation import Augmentation
from genophen.errors import ConfigError, GenophenError, PluginError, Problem, listed, nearest, nearest_name

PLUGIN_KINDS = ("task", "dataset", "architecture", "genotype", "optimizer")
#: What a config gets where it names no plugin of a kind; without an entry the name must be given.
DEFAULT_NAMES = {"task": "classification", "genotype": "hypernetwork", "optimizer": "adam"}

#: Kinds whose paths are looked for below the data directory first, and make no difference to a result.
WITH_FILES = ("task", "dataset")

#: The settings that stand in each section itself, beside `name` and the plugins' own tables.
SECTIONS: dict[str, type[Options]] = {
    "task": Options,
    "dataset": DataSettings,
    "augmentation": Augmentation,
    "architecture": Options,
    "genotype": Options,
    "optimizer": Options,
    "training": TrainingSettings,
}


class PluginLookup(Protocol):
    """What reading a config asks of the plugins."""

    @property
    def failures(self) -> list[Any]: ...
    def names(self, kind: str) -> list[str]: ...
    def options(self, kind: str, name: str) -> type[Options]: ...
    def get(self, kind: str, name: str) -> Any: ...
    def blame(self, kind: str, name: str) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class Choice:
    """A plugin that a config selects, and its validated settings."""

    name: str
    options: Options


@dataclass(frozen=True)
class Config:
    """A resolved config: every setting has a valid value."""

    task: Choice
    #: None where the task uses no data set.
    dataset: Choice | None
    architecture: Choice
    genotype: Choice
    optimizer: Choice
    data: DataSettings
    augmentation: Augmentation
    training: TrainingSettings
    #: Things worth telling the user, such as tables that were passed over.
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def source(self) -> str:
        """What the scores are measured on: the data set's name, or the task's where it uses none."""
        return self.task.name if self.dataset is None else self.dataset.name

    def choices(self) -> dict[str, Choice]:
        """The plugins in use by kind."""
        every = {kind: getattr(self, kind) for kind in PLUGIN_KINDS}
        return {kind: choice for kind, choice in every.items() if choice is not None}

    def to_toml(self) -> str:
        """The config as TOML that resolves to the same settings again: defaults filled in, paths absolute."""
        choices = self.choices()
        tables: dict[str, Any] = {kind: {"name": choice.name} for kind, choice in choices.items()}
        tables["dataset"] = {**tables.get("dataset", {}), **plain(self.data)}
        for kind, choice in choices.items():
            if settings := plain(choice.options):
                tables[kind][choice.name] = settings
        tables["augmentation"] = plain(self.augmentation)
        tables["training"] = plain(self.training)
        return write_toml(tables).lstrip("\n")

    def settings(self) -> dict[str, Any]:
        """The settings that a result depends on, by dotted key.

        Left out are the places of files, the device, and when checkpoints are saved.
        """
        places = {"dataset.data_dir", *(f"training.{name}" for name in WITHOUT_EFFECT)}
        for kind, choice in self.choices().items():
            if kind in WITH_FILES:
                paths = [k for k, value in choice.options if isinstance(value, Path)]
                places.update(f"{kind}.{choice.name}.{name}" for name in paths)
        every = flattened(tomllib.loads(self.to_toml()))
        return {key: value for key, value in every.items() if key not in places}


def plain(options: Options) -> dict[str, Any]:
    """Settings as a config file has them."""
    return options.model_dump(mode="json", by_alias=True)


def resolve_config(tables: Mapping[str, Any], plugins: PluginLookup, origin: str) -> Config:
    """Validate TOML tables as a config. `origin` names them in the error.

    Raises:
        ConfigError: with every mistake found: unknown keys and names with the nearest known one, and values
            of a wrong type or size.
        PluginError: where the only mistakes are names that a plugin which failed to load may have.
    """
    attempted = f"cannot use the config {origin}"
    if tables.keys() & {"rows", "grid"}:
        raise ConfigError(
            attempted, found="a sweep: it has rows", next_step=f"genophen sweep {origin} --out DIR"
        )
    reader = _Reader(tables, plugins)
    config = reader.read()
    if reader.problems:
        if reader.plugin_problems == len(reader.problems) and plugins.failures:
            lines = [*(str(problem) for problem in reader.problems), *map(str, plugins.failures)]
            raise PluginError(attempted, found="; ".join(lines))
        notes = [Problem("note", found=note) for note in reader.notes]
        raise ConfigError(attempted, problems=[*reader.problems, *notes])
    assert config is not None
    return config


class _Reader:
    """Goes through the tables once, collecting problems instead of stopping at the first."""

    def __init__(self, tables: Mapping[str, Any], plugins: PluginLookup) -> None:
        self.plugins = plugins
        self.problems: list[Problem] = []
        self.plugin_problems = 0
        self.notes: list[str] = []
        self.sections = {name: self._table(name, tables.get(name, {})) for name in SECTIONS}
        for key in tables:
            if key not in SECTIONS:
                hint = nearest(key, SECTIONS) or self._elsewhere(key)
                allowed = "" if hint else ", ".join(SECTIONS)
                self.problems.append(Problem(key, "unknown section", allowed, hint))

    def read(self) -> Config | None:
        own = {name: self._own_settings(name) for name in SECTIONS}
        choices = {kind: self._choice(kind, own["dataset"]) for kind in self._kinds_in_use()}
        if self.problems:
            return None
        if problem := misfit(choices, self.plugins):  # type: ignore[arg-type]
            self.problems.append(problem)
            return None
        return Config(
            **{"dataset": None, **choices},  # type: ignore[arg-type]
            data=own["dataset"],  # type: ignore[arg-type]
            augmentation=own["augmentation"],  # type: ignore[arg-type]
            training=own["training"],  # type: ignore[arg-type]
            notes=tuple(self.notes),
        )

    def _kinds_in_use(self) -> list[str]:
        """All kinds, less the data set where the task has no use for one."""
        task = self._selected_name("task")
        if task is None or self.plugins.get("task", task).cls.over_dataset:
            return list(PLUGIN_KINDS)
        if "name" in self.sections["dataset"]:
            self.notes.append(f"[dataset] is passed over: the task {task} uses no data set")
        return [kind for kind in PLUGIN_KINDS if kind != "dataset"]

    def _table(self, name: str, value: object) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.problems.append(
            Problem(name, f"found {shown(value)}", f"a table: [{name}]", "see examples/ for its keys")
        )
        return {}

    def _own_settings(self, section: str) -> Options | None:
        """The settings that stand in the section itself, less the plugin's name and the plugins' tables."""
        cls, table = SECTIONS[section], self.sections[section]
        is_plugin_kind = section in PLUGIN_KINDS
        values = dict(table)
        if is_plugin_kind:
            plugin_tables = {k for k, v in table.items() if isinstance(v, dict) and k not in cls.model_fields}
            values = {k: v for k, v in table.items() if k != "name" and k not in plugin_tables}
        if is_plugin_kind and (unknown := [key for key in values if key not in cls.model_fields]):
            for key in unknown:
                self._unknown_key(section, key)
                del values[key]
        settings = self._validated(cls, values, section)
        return None if settings is None else with_absolute_paths(settings, None)

    def _unknown_key(self, section: str, key: str) -> None:
        """A key that the section does not have: often one that belongs into the selected plugin's table."""
        name = self._selected_name(section)
        options = self._options_class(section, name)
        if options is not None and key in options.model_fields:
            hint = f"it belongs under [{section}.{name}]"
        else:
            known = ["name", *SECTIONS[section].model_fields]
            inner = None if options is None else nearest_name(key, options.model_fields)
            hint = nearest(key, known) or (f"did you mean {section}.{name}.{inner}?" if inner else "")
            if not hint:
                hint = f"allowed here: {', '.join(known)}"
                if options is not None and options.model_fields:
                    hint += f"; and {section}.{name}.KEY for {', '.join(options.model_fields)}"
        self.problems.append(Problem(f"{section}.{key}", "unknown key", next_step=hint))

    def _elsewhere(self, key: str) -> str:
        """Where a key stands that was given without its section."""
        places: dict[str, type[Options]] = dict(SECTIONS)
        for kind in PLUGIN_KINDS:
            name = self._selected_name(kind)
            if (options := self._options_class(kind, name)) is not None:
                places[f"{kind}.{name}"] = options
        found = [f"{place}.{key}" for place, options in places.items() if key in options.model_fields]
        return f"did you mean {' or '.join(found)}?" if found else ""

    def _choice(self, kind: str, data_settings: Options | None) -> Choice | None:
        """The plugin selected for a kind; the tables of the others are validated and dropped."""
        selected = self._selected_name(kind)
        if selected is None:
            return None
        for name, values in self.sections[kind].items():
            is_table = isinstance(values, dict) and name not in ("name", *SECTIONS[kind].model_fields)
            if is_table and name not in self.plugins.names(kind):
                hint = nearest(name, self.plugins.names(kind))
                note = f"[{kind}.{name}] is passed over: no {kind} plugin of that name is installed"
                self.notes.append(f"{note}; {hint}" if hint else note)
        data_dir = data_settings.data_dir if isinstance(data_settings, DataSettings) else None
        choice = None
        for name in self.plugins.names(kind):
            values = self.sections[kind].get(name, {})
            if name == selected or (isinstance(values, dict) and values):
                options = self._plugin_options(kind, name, values)
                if name == selected and options is not None:
                    base = data_dir if kind in WITH_FILES else None
                    choice = Choice(name, with_absolute_paths(options, base))
        return choice

    def _selected_name(self, kind: str) -> str | None:
        name = self.sections[kind].get("name", DEFAULT_NAMES.get(kind))
        known = self.plugins.names(kind)
        if isinstance(name, str) and name in known:
            return name
        key = f"{kind}.name"
        if any(problem.key == key for problem in self.problems):
            return None
        if name is None:
            self.problems.append(Problem(key, "is missing", f"one of {listed(known)}"))
        elif not isinstance(name, str):
            self.problems.append(Problem(key, f"found {shown(name)}", f"one of {listed(known)}"))
        else:
            self._unknown_plugin(kind, name, known)
        return None

    def _unknown_plugin(self, kind: str, name: str, known: list[str]) -> None:
        try:
            self.plugins.options(kind, name)  # says so where two plugins claim the name
        except GenophenError as error:
            hint = nearest(name, known) or "install its package, or name its file with --plugin FILE.py"
            self.plugin_problems += 1
            self.problems.append(
                Problem(f"{kind}.name", f"{name!r}: {error.found}", f"one of {listed(known)}", hint)
            )

    def _options_class(self, kind: str, name: str | None) -> type[Options] | None:
        return None if name is None else self.plugins.options(kind, name)

    def _plugin_options(self, kind: str, name: str, values: object) -> Options | None:
        if not isinstance(values, dict):
            self.problems.append(
                Problem(f"{kind}.{name}", f"found {shown(values)}", f"a table: [{kind}.{name}]")
            )
            return None
        with self.plugins.blame(kind, name):  # its validators and defaults are code of its own
            options = self._validated(self.plugins.options(kind, name), values, f"{kind}.{name}")
            if options is not None:
                write_toml(plain(options))  # so that the run can save them
            return options

    def _validated(self, cls: type[Options], values: dict[str, Any], where: str) -> Options | None:
        try:
            return read_options(cls, values, where)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return None

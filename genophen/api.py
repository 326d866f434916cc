"""The entry points: compile, run, resume."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from genophen.config.config import resolve_config
from genophen.config.recorded import config_of
from genophen.config.toml import override, read_toml
from genophen.contracts.genotype import Genotype
from genophen.contracts.options import read_options
from genophen.errors import ConfigError, PluginError
from genophen.phenotype.compiling import compile_phenotype
from genophen.phenotype.phenotype import Phenotype
from genophen.phenotype.residual import Residual
from genophen.plugins.contract import contract_problem
from genophen.plugins.loading import load_plugins
from genophen.runs import Run
from genophen.storage.rundir import RunDirectory
from genophen.training.resume import ResumeOptions, resume_run
from genophen.training.signals import hand_on
from genophen.training.start import run_config


def compile(
    network: nn.Module,
    expressed: Sequence[str],
    genotype: str | type[Genotype] = "hypernetwork",
    *,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    base: str | None = None,
    **options: Any,
) -> Phenotype:
    """Compile a module of your own into a phenotype, whose weights a genotype writes.

    What is written starts at random, or, with `base="initial"`, as the network's own weights; `genophen.fit`
    brings it near them. Biases keep the network's values and are trained as before, unless `conv_bias` is
    given or the genotype writes them. `phenotype.summary()` says what is written; a warning, where the
    genotype has more numbers than it writes, or none of them gets a gradient.

    Args:
        network: any module; it is copied, not changed.
        expressed: patterns over its parameter names (fnmatch, `*` crosses dots), e.g. `["conv2.weight"]`.
        genotype: the name of an installed genotype, or a class.
        seed: seed of the genotype's initial values.
        input_shape: (C, H, W) of one image; it lets a genotype know where the inputs of a dense layer stand.
        base: with `"initial"` the genotype writes a difference, at first zero, to the network's own weights,
            which are frozen and not counted: a pretrained network is adapted by a few numbers.
        options: settings of the genotype, e.g. `embedding_dim=4`.

    Returns:
        A module to train like the network itself: `phenotype(images)`, `phenotype.parameters()`.

    Raises:
        ConfigError: for options that the genotype does not have, another base, and patterns that select
            nothing.
        PluginError: for a name that no plugin has.
    """
    if isinstance(expressed, str):
        expressed = [expressed]
    cls: type[Genotype] = (
        load_plugins().get("genotype", genotype).cls if isinstance(genotype, str) else genotype
    )
    if problem := contract_problem("genotype", cls):
        raise PluginError("cannot compile the network", found=problem)
    if base not in (None, "initial"):
        raise ConfigError("cannot compile the network", found=f"base={base!r}", allowed="'initial', or None")
    settings = read_options(cls.Options, options, f"genotype {cls.name}")
    phenotype = compile_phenotype(
        network,
        expressed,
        partial(Residual, cls) if base == "initial" else cls,
        settings,
        seed=seed,
        input_shape=input_shape,
        keep_biases="conv_bias" not in options,
    )
    for warning in filter(None, (phenotype.excess(), phenotype.detached())):
        warnings.warn(warning, stacklevel=2)
    return phenotype


def run(
    config: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    plugin_files: Sequence[str | Path] = (),
) -> Run:
    """Train as `genophen run` does, silently, and return the run, which reads like its `result.json`.

    A signal (SIGINT, SIGTERM, SIGHUP) ends the run after a checkpoint. It is then given to the handler that
    the program has for it; this returns where the handler does.

    Args:
        config: a TOML file, or its tables.
        overrides: assignments `a.b=VALUE`, VALUE as TOML.
        out: the run directory, absent or empty; default: a fresh one below `runs/`.
        plugin_files: single-file plugins to load.

    Raises:
        GenophenError: as the command would say it.
        KeyboardInterrupt, SystemExit: after a signal that the program does not handle.
    """
    if isinstance(config, Mapping):
        tables, origin, name = _copied(config), "given", "run"
    else:
        tables, origin, name = read_toml(Path(config)), str(config), Path(config).stem
    override(tables, overrides)
    plugins = load_plugins([Path(file) for file in plugin_files])
    resolved = resolve_config(tables, plugins, origin)
    directory, result = run_config(resolved, plugins, name, None if out is None else Path(out))
    return _ended(directory, result, plugin_files)


def resume(
    directory: str | Path,
    *,
    rounds: int | None = None,
    checkpoint: str = "",
    force: bool = False,
    plugin_files: Sequence[str | Path] = (),
) -> Run:
    """Go on with a run as `genophen resume` does, silently, and return it; signals are as for `run`.

    Args:
        directory: the run directory.
        rounds: train so many in all, for a run that is to be extended.
        checkpoint: the name of the checkpoint to go on from; default: the last.
        force: go on although plugins, data or settings have changed.
        plugin_files: single-file plugins to load.

    Raises:
        GenophenError: as the command would say it.
        KeyboardInterrupt, SystemExit: after a signal that the program does not handle.
    """
    run_directory = RunDirectory.open(Path(directory))
    plugins = load_plugins([Path(file) for file in plugin_files])
    config = config_of(run_directory, plugins, {"training.rounds": rounds})
    result = resume_run(run_directory, config, plugins, ResumeOptions(checkpoint, force))
    return _ended(run_directory, result, plugin_files)


def _ended(run: RunDirectory, result: Mapping[str, Any], plugin_files: Sequence[str | Path]) -> Run:
    """The run, once the program has had the signal that interrupted it."""
    if result["status"] == "interrupted":
        hand_on(result["signal"])
    return Run.load(run.path, plugin_files=plugin_files)


def _copied(tables: Mapping[str, Any]) -> dict[str, Any]:
    """A copy whose tables can be overridden without changing the caller's."""
    if not all(isinstance(key, str) for key in tables):
        raise ConfigError(
            "cannot use the config given", found="keys that are not text", allowed="TOML's tables"
        )
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in tables.items()}

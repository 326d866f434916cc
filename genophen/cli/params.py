"""`genophen params`: count the numbers that a config trains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genophen.cli.common import config_options, json_option, plugin_options, print_json, resolve, say, show

if TYPE_CHECKING:
    from genophen.training.trial import Trial


@click.command(no_args_is_help=True)
@config_options
@json_option
@plugin_options
def params(
    config: Path,
    assignments: tuple[str, ...],
    as_json: bool,
    plugin_files: tuple[Path, ...],
    debug: bool,
    **shorthands: Any,
) -> None:
    """Count the numbers that CONFIG trains, and name what the genotype writes. Needs no data.

    \b
    genophen params examples/cifar_block3.toml --genotype direct
    """
    from genophen.errors import GenophenError
    from genophen.training.trial import lay_out

    resolved, plugins = resolve(config, assignments, shorthands, plugin_files)
    trial = lay_out(resolved, plugins)
    try:
        trial.check_optimizer()
    except GenophenError as error:  # the network can be counted all the same
        say(f"Counted, but a run would be refused:\n{error}")
    description = describe(trial)
    if as_json:
        print_json(description)
    else:
        print_description(description)


def describe(trial: Trial) -> dict[str, Any]:
    """Counts and expressed tensors, as `--json` prints them."""
    config, phenotype = trial.config, trial.phenotype
    at_zero = set(phenotype.held_at_zero())
    return {
        "architecture": config.architecture.name,
        "genotype": config.genotype.name,
        "optimizer": config.optimizer.name,
        "parameters": trial.parameters(),
        "expressed": [
            {"name": target.name, "shape": list(target.shape), "held_at_zero": target.name in at_zero}
            for target in phenotype.targets.values()
        ],
        "direct": [
            {"name": name, "shape": list(parameter.shape)}
            for name, parameter in phenotype.network.named_parameters()
        ],
    }


def print_description(description: dict[str, Any]) -> None:
    """The description as text."""
    counts = description["parameters"]
    show(f"{description['architecture']} by {description['genotype']}")
    written = [entry for entry in description["expressed"] if not entry["held_at_zero"]]
    numbers = sum(_numel(entry["shape"]) for entry in written)
    notes = {
        "kernel": f"behind {numbers:,} expressed weights",
        "embedding": "of the kernel parameters",
        "generator": "of the kernel parameters",
    }
    for name in ("kernel", "embedding", "generator", "direct", "total"):
        note = f"  {notes[name]}" if name in notes else ""
        show(f"  {name:<10} {counts[name]:>10,}{note}")
    if counts["searched"] != counts["total"]:
        show(f"  {'searched':<10} {counts['searched']:>10,}  by {description['optimizer']}")
    for title, entries in (("expressed", written), ("direct", description["direct"])):
        show(f"{title}:")
        for entry in entries:
            show(f"  {entry['name']:<24} {' x '.join(map(str, entry['shape']))}")
    if zeros := [entry["name"] for entry in description["expressed"] if entry["held_at_zero"]]:
        show(f"held at zero: {', '.join(zeros)}")


def _numel(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count

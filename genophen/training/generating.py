"""Texts from a run whose network tells the next symbol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from genophen.config.config import Config
from genophen.contracts.options import shown
from genophen.contracts.sequences import symbol_vectors
from genophen.contracts.task import Task
from genophen.errors import ConfigError, DamagedError
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.registry import Plugins
from genophen.storage.reading import UnreadableError, read_environment
from genophen.storage.rundir import RunDirectory
from genophen.training.experiment import assemble
from genophen.training.preparing import Notify
from genophen.training.trained import best_phenotype

#: Symbols that an error names; a vocabulary may have thousands.
_NAMED = 100


def writer(
    run: RunDirectory, config: Config, plugins: Plugins, notify: Notify
) -> tuple[Phenotype, tuple[str, ...], int]:
    """A run's best network, in eval mode on the CPU, what its outputs stand for, and the round.

    Raises:
        ConfigError: for a run whose task is not to tell the next symbol.
        DamagedError: for weights that are not as the run saved them.
    """
    task = cast("type[Task]", plugins.get("task", config.task.name).cls)
    symbols = recorded_symbols(run)
    if not symbols and task.over_dataset and task.recurrent:  # a run from before they were recorded
        symbols = assemble(config, plugins, notify).task.symbols
    if not symbols:
        raise ConfigError(
            f"cannot generate text with the run {run.path}",
            found=f"a run of the task {config.task.name}",
            allowed="a task whose networks tell the next symbol at every step, such as next-token",
            next_step="genophen run examples/shakespeare.toml",
        )
    _, phenotype, best_round = best_phenotype(run, config, plugins)
    return phenotype, symbols, best_round


def recorded_symbols(run: RunDirectory) -> tuple[str, ...]:
    """What a run's outputs stand for; none where it does not tell the next symbol."""
    try:
        task = read_environment(run.environment)["task"]
        symbols = task["symbols"]
    except (UnreadableError, KeyError):
        return ()
    named = isinstance(symbols, list) and all(isinstance(symbol, str) for symbol in symbols)
    if not named or len(symbols) != task.get("num_outputs"):
        raise DamagedError(
            f"cannot use the symbols in {run.environment}",
            found=shown(symbols),
            allowed="a text for each output of the network",
        )
    return tuple(symbols)


def check_prompt(prompt: str, symbols: Sequence[str]) -> None:
    """Raise a ConfigError for a prompt that the network cannot read."""
    strange = [c for c in dict.fromkeys(prompt) if c not in symbols]
    if strange or not prompt:
        shown = " ".join(repr(symbol) for symbol in symbols[:_NAMED])
        raise ConfigError(
            "cannot go on with the prompt",
            found=", ".join(map(repr, strange)) if strange else "no character",
            allowed=f"one and more of {shown}{' ...' if len(symbols) > _NAMED else ''}",
        )


def first_prompt(symbols: Sequence[str]) -> str:
    """What a text begins with where nothing is asked for: a new line, if the network knows it."""
    return "\n" if "\n" in symbols else symbols[0]


def encoded(text: str, symbols: Sequence[str]) -> Tensor:
    """A text as the network reads it, (T, V)."""
    return symbol_vectors(torch.tensor([symbols.index(c) for c in text]), len(symbols))


def generated(
    phenotype: Phenotype, symbols: Sequence[str], prompt: str, length: int, temperature: float, seed: int
) -> Iterator[str]:
    """The symbols that come after the prompt, one by one.

    Each is drawn from the network's probabilities, their logarithms divided by the temperature; at 0 it is
    the likeliest.

    Raises:
        ConfigError: for a prompt that the network cannot read.
    """
    check_prompt(prompt, symbols)
    draws, count = torch.Generator().manual_seed(seed), len(symbols)
    with torch.inference_mode():
        outputs, state = phenotype.sequence(encoded(prompt, symbols)[None])
        logits = outputs[:, -1]  # (1, V)
        for _ in range(length):
            if temperature:
                probabilities = (logits.double() / temperature).softmax(1)
                number = torch.multinomial(probabilities, 1, generator=draws)[0]
            else:
                number = logits.argmax(1)
            yield symbols[int(number)]
            logits, state = phenotype(symbol_vectors(number, count), state)

"""Checkpoints with right digests and strange values: each is refused as damaged, or taken for what it is."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import Answer, ask, is_harmless
from noisy_runs import NOISY, OPTIMIZERS, interrupt_at, noisy_tables, run
from torch import Tensor

from genophen.storage.checkpoint import load_checkpoint, save_checkpoint
from genophen.storage.guard import GuardedPath
from genophen.storage.rundir import RunDirectory

ODD_VALUES: list[Any] = [
    *(None, True, -1, 10**30, 2**63, 0.5, "", "odd", [], [1], [[[[]]]], {}, {"dict": []}, {"dict": 5}),
    *({"tuple": [1, 2]}, {"float": "nan"}, {"float": "-inf"}, {"float": "odd"}, {"tensor": "absent"}),
]
ODD_TENSORS: list[Callable[[Tensor], Tensor]] = [
    lambda tensor: tensor.reshape(-1)[:1].clone(),
    lambda tensor: tensor.reshape(-1)[:0].clone(),
    lambda tensor: torch.zeros(3, 5, 7),
    lambda tensor: torch.tensor(1.0),
    lambda tensor: tensor.to(torch.int64),
    lambda tensor: tensor.to(torch.bool),
    lambda tensor: torch.full_like(tensor, 200),
    lambda tensor: torch.full(tensor.shape, 2**62),
    lambda tensor: -tensor.to(torch.float64),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each optimizer, interrupted in its second round."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GENOPHEN_LOAD_PLUGINS", raising=False)
        for optimizer, table in OPTIMIZERS.items():
            run(noisy_tables(rounds=2) | {"optimizer": table}, folder / optimizer, interrupt_at(7))
    return folder


def places(values: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or table in JSON values, with each index or key in it."""
    if isinstance(values, dict | list) and len(values) < 100:  # nearly all numbers are a generator's
        for key in list(values) if isinstance(values, dict) else range(len(values)):
            yield values, key
            yield from places(values[key])


def change(draw: random.Random, tensors: dict[str, Tensor], values: dict[str, Any]) -> str:
    """Put one strange thing into a state; what it is."""
    kind = draw.choice(["value", "value", "value", "absent", "tensor", "other tensor", "stride"])
    described = [(table, key) for table, key in places(values["state"]) if key == "tensor"]
    if kind == "tensor":
        name = draw.choice(sorted(tensors))
        number = draw.randrange(len(ODD_TENSORS))
        tensors[name] = ODD_TENSORS[number](tensors[name]).contiguous()
        return f"tensor {name}: odd tensor {number}"
    if kind == "other tensor":
        table, key = draw.choice(described)
        other = draw.choice(sorted(tensors))
        told, table[key] = f"{table[key]} becomes {other}", other
        return told
    if kind == "stride":
        table, key = draw.choice(described)
        shape = tensors[table[key]].shape
        table["stride"] = draw.choice([*([step] * len(shape) for step in (0, 1, 2**40)), [-1], "odd", 7])
        return f"stride of {table}"
    table, key = draw.choice(list(places(values)))
    told = f"{str(table)[:200]} at {key!r}"
    if kind == "absent":
        del table[key]
        return f"{told}: gone"
    table[key] = draw.choice(ODD_VALUES)
    return f"{told}: {table[key]!r}"


def resumed(seed: int, made: Path) -> tuple[str, Answer]:
    """A run with one strange thing in its only checkpoint, resumed."""
    draw = random.Random(seed)
    optimizer = draw.choice(list(OPTIMIZERS))
    shutil.rmtree("run", ignore_errors=True)
    shutil.copytree(made / optimizer, "run")
    checkpoints = RunDirectory(Path("run")).checkpoints
    (name,) = checkpoints.names()
    folder = GuardedPath(Path("run/checkpoints")) / name
    tensors, values = load_checkpoint(folder)
    told = f"{seed}, {optimizer}: {change(draw, tensors, values)}"
    save_checkpoint(folder, "state", tensors, values)
    before = json.loads(Path("run/checkpoints", name, "state.json").read_bytes())
    answer = ask("resume", "run", "--quiet", "--plugin", NOISY)
    if answer.code == 4:  # it is left as it was
        assert json.loads(Path("run/checkpoints", name, "state.json").read_bytes()) == before, told
    return told, answer


def check(seeds: range, made: Path) -> dict[int, int]:
    """How often resuming ended with each exit code."""
    codes: dict[int, int] = {}
    for seed in seeds:
        told, answer = resumed(seed, made)
        # 0 and 3 where the strange thing is a number like any other, such as the seconds or a weight; 2 where
        # it is one of the settings, which are then told as changed.
        assert answer.code in (0, 2, 3, 4), (told, answer)
        assert answer.code != 2 or "the settings that the run began with" in answer.err, (told, answer)
        assert "Traceback" not in answer.err, (told, answer)
        assert "should not happen" not in answer.err, (told, answer)
        assert answer.code != 4 or "Error: cannot" in answer.err, (told, answer)
        assert is_harmless(answer.out + answer.err), (told, answer)
        codes[answer.code] = codes.get(answer.code, 0) + 1
    return codes


def test_strange_states_are_damage(made: Path) -> None:
    codes = check(range(30), made)
    assert codes[4] >= 15


@pytest.mark.slow
def test_600_strange_states_are_damage(made: Path) -> None:
    codes = check(range(1000, 1600), made)
    print(codes)
    assert codes[4] >= 300

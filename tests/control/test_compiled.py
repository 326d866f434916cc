"""Compiled episodes: the same to the bit as in Python's numbers, and Python's where that cannot be."""

from __future__ import annotations

import math
import shutil
from typing import Any

import pytest
import torch
from genophen_plugins.architectures.elman import ElmanNetwork
from genophen_plugins.architectures.mlp import Perceptron
from genophen_plugins.tasks.double_pole import DoublePole, gruaus_starts

import genophen
from genophen.control import compiled
from genophen.control.episodes import Episodes, run_in_numbers
from genophen.control.tracing import Untraceable, program
from genophen.control.world import NUMBERS, Arithmetic, Values, World

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


class Odd(World):
    """Every operation that a world may use."""

    num_observations = 2
    num_actions = 2
    window = 3

    def observe(self, state: Values, ops: Arithmetic) -> Values:
        return ops.sign(state[0]) + 0.25, ops.clip(state[1], -0.5, 0.5)

    def advance(self, state: Values, action: Values, ops: Arithmetic) -> Values:
        x, y = state
        x = x + 0.1 * ops.tanh(action[0]) - (1 - ops.cos(y)) / 3 + ops.sin(0.5)
        y = ops.where((x > 0.2) & (y < 0.4) | (x <= -2), -y, ops.sqrt(abs(y) + 1) - +action[1])
        return ops.where(y >= 0, x, -0.5), y * ops.exp(-y)

    def alive(self, state: Values, ops: Arithmetic) -> Any:
        return (abs(state[0]) < 3) & (state[1] != 0.5)

    def reward(self, state: Values, action: Values, after: Values, ops: Arithmetic) -> Any:
        return 2 / (3 - after[0])

    def signal(self, state: Values, ops: Arithmetic) -> Any:
        return state[0] * state[0]


class Branching(Odd):
    """Asks a value, which symbols cannot answer."""

    def advance(self, state: Values, action: Values, ops: Arithmetic) -> Values:
        return (state[0] + 0.01 if state[1] > 0 else state[0] - 0.01), state[1]


class Foreign(Odd):
    def advance(self, state: Values, action: Values, ops: Arithmetic) -> Values:
        return math.sin(state[0]), state[1]


def drawn(network: torch.nn.Module, count: int) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(count, *value.shape, generator=draws, dtype=torch.float64)
        for name, value in network.named_parameters()
    }


def in_python(world: World, network: Any, weights: Any, starts: torch.Tensor, horizon: int) -> Episodes:
    controllers = [network.in_numbers(rows, NUMBERS) for rows in compiled._rows(weights)]
    return run_in_numbers(world, controllers, starts, horizon)


def assert_equal(found: Episodes, expected: Episodes) -> None:
    for name, value in vars(expected).items():
        assert getattr(found, name).tolist() == value.tolist(), name


STARTS = torch.tensor([[0.0, 0.3], [0.5, -0.25], [2.9, 1.0]], dtype=torch.float64)


NETWORKS = [ElmanNetwork(2, 4, 2, True), Perceptron([2, 5, 2])]


@needs_compiler
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
def test_compiled_code_does_what_python_does(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WORTH", 0)
    weights, world = drawn(network, 4), Odd()
    code = compiled._code(world, network, network.in_numbers, weights, STARTS)
    assert code is not None
    assert code.function(world, network.in_numbers, weights, STARTS) is not None
    found = compiled.run_few(world, network, network.in_numbers, weights, STARTS, 300)
    assert_equal(found, in_python(world, network, weights, STARTS, 300))
    assert len(found.steps.unique()) > 1


@needs_compiler
def test_the_benchmark_is_compiled_once_it_is_worth_it() -> None:
    task, network = DoublePole(DoublePole.Options()), ElmanNetwork(3, 3, 1, False)
    weights, starts = drawn(network, 13), gruaus_starts()[300:302]
    code = compiled._code(task, network, network.in_numbers, weights, starts)
    assert code is not None
    assert code.function(task, network.in_numbers, weights, starts) is None
    before = compiled.run_few(task, network, network.in_numbers, weights, starts, 1000)
    code.steps = compiled.WORTH
    assert_equal(compiled.run_few(task, network, network.in_numbers, weights, starts, 1000), before)
    assert code.steps == compiled.WORTH, "that was in Python"


@pytest.mark.parametrize("world", [Branching(), Foreign()], ids=["branching", "foreign"])
def test_a_world_that_symbols_do_not_tell_runs_in_python(world: World) -> None:
    network = Perceptron([2, 2])
    weights = drawn(network, 1)
    with pytest.raises((Untraceable, TypeError)):
        program(world, network.in_numbers, {n: tuple(w.shape[1:]) for n, w in weights.items()}, 2)
    assert compiled._code(world, network, network.in_numbers, weights, STARTS) is None
    found = compiled.run_few(world, network, network.in_numbers, weights, STARTS, 5)
    assert_equal(found, in_python(world, network, weights, STARTS, 5))


def without_a_compiler(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("CC", "/no/such/compiler")


def where_it_is_switched_off(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("GENOPHEN_COMPILE", "0")
    patch.setattr(compiled, "_compiled", None)


def where_the_code_is_refused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiled, "FLAGS", ("--no-such-flag",))


def where_it_gives_other_numbers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiled, "program", lambda *given: program(*given).replace("sum += r", "sum += 2 * r"))


@pytest.mark.parametrize(
    "case",
    [
        without_a_compiler,
        where_it_is_switched_off,
        where_the_code_is_refused,
        pytest.param(where_it_gives_other_numbers, marks=needs_compiler),
    ],
)
def test_all_stays_in_python(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WORTH", 0)
    monkeypatch.setattr(compiled, "_KNOWN", {})
    case(monkeypatch)
    world, network = Odd(), Perceptron([2, 2])
    weights = drawn(network, 2)
    found = compiled.run_few(world, network, network.in_numbers, weights, STARTS, 50)
    assert_equal(found, in_python(world, network, weights, STARTS, 50))
    code = compiled._code(world, network, network.in_numbers, weights, STARTS)
    assert code is not None
    assert code.function(world, network.in_numbers, weights, STARTS) is None


def test_added_is_one_after_the_other() -> None:
    assert genophen.added([1e16, 1.0, 1.0, -1e16]) == 0.0

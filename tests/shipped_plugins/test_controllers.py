"""The architectures of controllers: three ways to compute each of them, and one result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from genophen_plugins.architectures.elman import Elman
from genophen_plugins.architectures.mlp import MLP

import genophen
from genophen.control.world import ARRAYS, NUMBERS, TENSORS

P, E, STEPS = 5, 4, 6


def built(cls: type[genophen.Architecture], options: dict[str, Any]) -> Any:
    architecture = cls(cls.Options(**options))
    architecture.fill_in((3,), 2)
    return architecture.build().double()


@pytest.fixture(params=["elman", "elman with biases", "elman with a gain", "mlp", "mlp without hidden units"])
def network(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    cls, options = {
        "elman": (Elman, {"hidden": 4}),
        "elman with biases": (Elman, {"hidden": 4, "bias": True}),
        "elman with a gain": (Elman, {"hidden": 4, "bias": True, "output_gain": 5.0}),
        "mlp": (MLP, {"hidden": [5, 4]}),
        "mlp without hidden units": (MLP, {"hidden": []}),
    }[request.param]
    return built(cls, options)


def draws(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_forward(network: Any, weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Outputs (STEPS, P, E, 2) on inputs (STEPS, P, E, 3)."""
    outputs = torch.zeros(STEPS, P, E, 2, dtype=torch.float64)
    for p in range(P):
        network.load_state_dict({name: stack[p] for name, stack in weights.items()})
        state = None
        for step in range(STEPS):
            found = network(x[step, p], state) if isinstance(network, _recurrent()) else network(x[step, p])
            outputs[step, p], state = found if isinstance(found, tuple) else (found, None)
    return outputs.detach()


def _recurrent() -> type:
    return type(built(Elman, {}))


def test_all_ways_give_what_forward_gives(network: Any) -> None:
    weights = {name: draws(P, *value.shape) for name, value in network.state_dict().items()}
    x = draws(STEPS, P, E, 3)
    expected = by_forward(network, weights, x)
    arrays = {name: stack.numpy() for name, stack in weights.items()}
    state = memory = None
    for step in range(STEPS):
        found, state = network.respond(weights, x[step], state, TENSORS)
        assert torch.allclose(found, expected[step], rtol=1e-12, atol=1e-14)
        found, memory = network.respond(arrays, x[step].numpy(), memory, ARRAYS)
        assert np.allclose(found, expected[step].numpy(), rtol=1e-12, atol=1e-14)
    act, memory = (
        network.in_numbers({name: stack[2].tolist() for name, stack in weights.items()}, NUMBERS),
        None,
    )
    for step in range(STEPS):
        actions, memory = act(tuple(x[step, 2, 1].tolist()), memory)
        assert actions == pytest.approx(expected[step, 2, 1].tolist(), rel=1e-12)


def test_what_stands_beside_a_pair_changes_no_bit_of_it(network: Any) -> None:
    weights = {name: draws(P, *value.shape).numpy() for name, value in network.state_dict().items()}
    x = draws(STEPS, P, E, 3).numpy()
    state = alone = None
    for step in range(STEPS):
        together, state = network.respond(weights, x[step], state, ARRAYS)
        one = {name: stack[3:4] for name, stack in weights.items()}
        found, alone = network.respond(one, x[step, 3:4, 2:3], alone, ARRAYS)
        assert found.tolist() == together[3:4, 2:3].tolist()


def test_an_output_gain_multiplies_outputs_and_nothing_else() -> None:
    plain, gained = built(Elman, {"hidden": 4}), built(Elman, {"hidden": 4, "output_gain": 5.0})
    gained.load_state_dict(plain.state_dict())
    x, state = draws(E, 3), draws(E, 4)
    (output, after), (five, same) = plain(x, state), gained(x, state)
    assert torch.equal(five, 5.0 * output)
    assert torch.equal(same, after)


def test_counts_of_weights() -> None:
    """Three units that see three numbers and themselves, and an output: the benchmark's 21 weights."""
    architecture = Elman(Elman.Options(hidden=3))
    architecture.fill_in((3,), 1)
    assert sum(parameter.numel() for parameter in architecture.build().parameters()) == 21
    assert architecture.expressed() == ["input.weight", "recurrent.weight", "output.weight"]

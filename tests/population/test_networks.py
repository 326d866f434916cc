"""Many weight sets of one network, called like it: state, own inputs, tuples and dicts of tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import genophen
from genophen.errors import ConfigError
from genophen.population.networks import Networks
from genophen.population.population import Population


class Policy(nn.Module):
    """Elman's network in the manner of the contract: (x, state) to (y, state)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4 + 6, 6)
        self.out = nn.Linear(6, 2)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if state is None:
            state = x.new_zeros(len(x), 6)
        state = self.hidden(torch.cat([x, state], 1)).tanh()
        return self.out(state), state


class Pair(nn.Module):
    """Two inputs in a dict; a dict with a tuple and a number come out."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 5), nn.Linear(4, 5)

    def forward(self, inputs: dict[str, Tensor], scale: float = 1.0) -> dict[str, Any]:
        left, right = self.left(inputs["left"]), self.right(inputs["right"])
        return {"both": (left + scale * right, left * right), "scale": scale}


def weight_sets(network: nn.Module, count: int) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(0)
    return {
        name: parameter.detach() + 0.3 * torch.randn(count, *parameter.shape, generator=draws)
        for name, parameter in network.named_parameters()
    }


def set_of(weights: dict[str, Tensor], p: int) -> dict[str, Tensor]:
    return {name: stack[p] for name, stack in weights.items()}


def test_state_is_each_networks_own() -> None:
    torch.manual_seed(0)
    policy = Policy()
    weights = weight_sets(policy, 3)
    networks, x = Networks(policy, weights), torch.randn(5, 7, 4)
    state: Any = None
    ends: Any = [None] * 3
    for t in range(5):
        outputs, state = networks(x[t], state)
        expected = [functional_call(policy, set_of(weights, p), (x[t], ends[p])) for p in range(3)]
        ends = [end for _, end in expected]
        torch.testing.assert_close(outputs, torch.stack([y for y, _ in expected]))
    torch.testing.assert_close(state, torch.stack(ends))
    assert networks.folded
    assert networks.count == 3


def test_inputs_of_each_ones_own() -> None:
    torch.manual_seed(0)
    policy = Policy()
    weights = weight_sets(policy, 3)
    networks, x, state = Networks(policy, weights), torch.randn(3, 7, 4), torch.randn(3, 7, 6)
    outputs, _ = networks(x, state, own=True)
    expected = [functional_call(policy, set_of(weights, p), (x[p], state[p]))[0] for p in range(3)]
    torch.testing.assert_close(outputs, torch.stack(expected))


def test_dicts_and_tuples() -> None:
    torch.manual_seed(0)
    pair = Pair()
    weights = weight_sets(pair, 3)
    inputs = {"left": torch.randn(6, 3), "right": torch.randn(6, 4)}
    found = Networks(pair, weights)(inputs, scale=2.0)
    expected = [functional_call(pair, set_of(weights, p), (inputs, 2.0)) for p in range(3)]
    assert found["scale"] == 2.0
    for place in (0, 1):
        torch.testing.assert_close(found["both"][place], torch.stack([e["both"][place] for e in expected]))


def test_features_are_what_goes_into_a_module() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    weights, x = weight_sets(network, 3), torch.randn(5, 4)
    expected = [
        torch.tanh(nn.functional.linear(x, weights["0.weight"][p], weights["0.bias"][p])) for p in range(3)
    ]
    torch.testing.assert_close(Networks(network, weights).features(x, "2"), torch.stack(expected))


def test_a_populations_networks_give_its_logits_and_count_as_it_does() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    phenotype = genophen.compile(network, ["0.weight"], embedding_dim=3)
    population = Population(phenotype, phenotype.genes("embeddings"))
    candidates = population.center() + torch.randn(4, population.num_genes)
    x = torch.randn(5, 3, 6, 6)
    torch.testing.assert_close(population.networks(candidates)(x), population.logits(candidates, x))
    assert phenotype.samples.forward_samples == 2 * 4 * 5


def test_networks_keep_their_numbers_while_others_are_made() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    phenotype = genophen.compile(network, ["0.weight"], genotype="direct")
    population = Population(phenotype, phenotype.genes("all"))
    x, first = torch.randn(5, 4), population.center()[None].repeat(3, 1)
    earlier = population.networks(first)
    expected = earlier(x)
    later = population.networks(first + 1)
    assert (later(x) - expected).abs().max() > 0.1
    torch.testing.assert_close(earlier(x), expected)


def test_weights_that_do_not_fit_are_refused() -> None:
    network = nn.Linear(4, 2)
    with pytest.raises(ConfigError, match="no parameter 'weights'"):
        Networks(network, {"weights": torch.zeros(3, 2, 4)})
    with pytest.raises(ConfigError, match="none"):
        Networks(network, {})
    with pytest.raises(ConfigError, match=r"shape \(3, 4, 2\) for 'weight'"):
        Networks(network, {"weight": torch.zeros(3, 4, 2)})
    with pytest.raises(ConfigError, match=r"shape \(2, 2\) for 'bias'"):
        Networks(network, {"weight": torch.zeros(3, 2, 4), "bias": torch.zeros(2, 2)})


def test_inputs_of_another_number_of_networks_are_refused() -> None:
    networks = Networks(nn.Linear(4, 2), {"bias": torch.zeros(3, 2)})
    with pytest.raises(ConfigError, match="the 3 networks' own"):
        networks(torch.zeros(2, 5, 4), own=True)

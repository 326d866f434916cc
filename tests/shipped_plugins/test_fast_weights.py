"""Fast weights: their rules as loops, and the additive one as linear attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from genophen_plugins.architectures.fast_weight_controller import FastWeightController
from genophen_plugins.architectures.fast_weight_network import FastWeightNetwork
from genophen_plugins.tasks.double_pole import DoublePole
from torch import Tensor
from torch.nn import functional as F

import genophen
from genophen.control.batch import run_together
from genophen.control.controllers import NetworkControllers, run_networks
from genophen.control.numeric import NumericControllers, numeric
from genophen.control.world import ARRAYS, NUMBERS


def phenotype(size: int = 6, **options: Any) -> genophen.Phenotype:
    torch.manual_seed(0)
    made = genophen.compile(
        FastWeightNetwork(3, size, 2).double(), ["fast.weight"], "fast-weights", **options
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def parts(p: genophen.Phenotype, x: Tensor) -> tuple[Tensor, ...]:
    """What goes into the cell, and the queries, keys and values made of it, (N, T, size)."""
    slow = p.genotype.slow[0]
    seen = p.network.embed(x)
    return seen, p.network.fast.query(seen), seen @ slow.key_weight.T, seen @ slow.value_weight.T


def gradients(p: genophen.Phenotype, output: Tensor) -> list[Tensor]:
    used = [q for n, q in p.named_parameters() if "rate" not in n and "first" not in n]
    return list(torch.autograd.grad(output.square().sum(), used))


def test_the_additive_rule_is_causal_linear_attention_without_normalisation() -> None:
    p = phenotype(rule="additive", key_activation="identity", write_rate="constant")
    with torch.no_grad():
        p.genotype.slow[0].first.zero_()
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    found, _ = p.sequence(x)

    seen, query, key, value = parts(p, x)
    scores = (query @ key.transpose(1, 2)).tril()  # (N, T, T)
    expected = p.network.readout(torch.cat([seen, scores @ value], 2))
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    for one, other in zip(gradients(p, found), gradients(p, expected), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("rule", ["additive", "delta"])
def test_a_rule_is_its_loop(rule: str, heads: int) -> None:
    p = phenotype(rule=rule, heads=heads, decay=0.9)
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    found, _ = p.sequence(x)

    slow = p.genotype.slow[0]
    seen, query, key, value = parts(p, x)
    rate = (seen @ slow.rate_weight.T + slow.rate_bias).sigmoid()  # (N, T, heads)
    for n in range(2):
        matrix = p.genotype.express()["fast.weight"]
        for t in range(4):
            change = torch.zeros_like(matrix)
            for head in range(heads):
                own = slice(head * 6 // heads, (head + 1) * 6 // heads)
                k = F.normalize(key[n, t, own], dim=0)
                v = value[n, t, own]
                if rule == "delta":
                    v = v - matrix[own, own] @ k
                change[own, own] = rate[n, t, head] * torch.outer(v, k)
            matrix = 0.9 * matrix + change
            expected = p.network.readout(torch.cat([seen[n, t], matrix @ query[n, t]]))
            torch.testing.assert_close(found[n, t], expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slow_units": 5},
        {"rule": "additive", "write_rate": "constant"},
        {"order": "read-write", "decay": "learned", "decay_to": "start", "key": "constant"},
    ],
)
def test_all_steps_at_once_are_one_after_the_other(options: dict[str, Any]) -> None:
    p = phenotype(**{"heads": 2, "decay": 0.9, **options})
    x = torch.randn(3, 5, 3, dtype=torch.float64)
    whole, last = p.sequence(x)
    outputs, state = [], None
    for t in range(5):
        output, state = p(x[:, t], state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), whole, atol=1e-12, rtol=0)
    first, state = p.sequence(x[:, :2])
    second, state = p.sequence(x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(state, last, atol=1e-12, rtol=0)


def test_a_slow_lstm_writes_what_it_has_seen_before() -> None:
    x = torch.randn(1, 3, 3, dtype=torch.float64)
    other = torch.cat([-x[:, :1], x[:, 1:]], 1)
    for units in (0, 5):
        p = phenotype(slow_units=units)
        written = []
        for given in (x, other):
            slow = p.genotype.slow[0]
            seen = p.network.embed(given)
            if slow.cell is not None:
                seen, _ = slow.cell.sequence(seen)
            written.append(slow.writing(seen).value[:, 2])
        assert torch.equal(*written) == (units == 0)


ANCHORED = {
    "rule": "additive",
    "key": "constant",
    "key_activation": "identity",
    "write_rate": "constant",
    "decay": "learned",
    "decay_to": "start",
    "order": "read-write",
}


HIDDEN = ANCHORED | {"written": "last", "values": "hidden", "order": "write-read", "hidden": 4}
BIASED = ANCHORED | {"written": "last"}


def controller(hidden: int = 0, **options: Any) -> genophen.Phenotype:
    torch.manual_seed(0)
    network = FastWeightController(3, hidden, 2).double()
    made = genophen.compile(network, ["fast.weight"], "fast-weights", **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return made


def test_what_is_written_decays_towards_the_start_and_is_read_a_step_later() -> None:
    p = controller(**ANCHORED)
    x = torch.randn(1, 5, 3, dtype=torch.float64)
    found, _ = p.sequence(x)

    slow = p.genotype.slow[0]
    start, decay = p.genotype.express()["fast.weight"], slow.decay.detach().sigmoid()
    written = torch.zeros_like(start)
    for t in range(5):
        seen = torch.cat([x[0, t], torch.ones(1, dtype=torch.float64)])
        torch.testing.assert_close(found[0, t], (start + written) @ seen, atol=1e-12, rtol=0)
        written = decay * written + torch.outer(slow.value_weight @ seen, slow.key)


def test_a_written_bias_leaves_the_network_odd() -> None:
    """And the genes of two outputs are six weights of what is seen, six of values, and a decay."""
    p = controller(**BIASED)
    x = torch.randn(1, 5, 3, dtype=torch.float64)
    found, (_, state) = p.sequence(x)
    torch.testing.assert_close(p.sequence(-x)[0], -found, atol=1e-12, rtol=0)
    written = next(iter(state["fast"].values())) - p.genotype.slow[0].start()
    assert written[..., :-1].abs().max() == 0
    assert written[..., -1].abs().min() > 0
    names = p.genes("genotype")
    assert sum(p.get_parameter(name).numel() for name in names) == 2 * 3 + 2 * 3 + 1


@pytest.mark.parametrize("wrong", [{"heads": 2}, {"slow_units": 3}])
def test_a_bias_is_written_from_what_is_seen(wrong: dict[str, Any]) -> None:
    with pytest.raises(genophen.ConfigError, match="written = 'last' with one head and without slow_units"):
        controller(written="last", **wrong)


def test_what_hidden_units_did_is_written_into_their_biases() -> None:
    """h_t = tanh(B x_t + s_t), s_t = d s_{t-1} + V h_{t-1}: with d = 0 an Elman network."""
    p = controller(**HIDDEN)
    x = torch.randn(1, 5, 3, dtype=torch.float64)
    found, _ = p.sequence(x)
    slow, output = p.genotype.slow[0], p.network.output.weight
    bias = hidden = torch.zeros(4, dtype=torch.float64)
    for t in range(5):
        bias = slow.decay.detach().sigmoid() * bias + slow.value_weight @ hidden
        hidden = torch.tanh(slow.first[0] @ x[0, t] + bias)
        torch.testing.assert_close(found[0, t], output @ hidden, atol=1e-12, rtol=0)


def test_genes_that_mean_nothing_are_not_searched() -> None:
    names = {name.rpartition(".")[2] for name in controller(**ANCHORED).genes("genotype")}
    assert names == {"key", "value_weight", "decay", "first"}
    assert "genotype.slow.0.rate_bias" in controller(**ANCHORED | {"write_rate": "gated"}).genes("genotype")


@pytest.mark.parametrize(
    "options",
    [
        {},
        ANCHORED,
        BIASED,
        HIDDEN,
        {"written": "last"},
        {"decay": 0.9, "key_activation": "softmax"},
        {"key": "constant", "decay_to": "start"},
    ],
    ids=["delta", "anchored", "biased", "hidden", "gated", "softmax", "constant key"],
)
def test_in_numbers_and_arrays_a_step_is_what_torch_makes_of_it(options: dict[str, Any]) -> None:
    p = controller(**options)
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    expected = p.sequence(x)[0][0].tolist()
    networks = genophen.Networks.of(p)
    weights, make = networks.weights(), numeric(networks.network)
    assert make is not None
    act = make({name: stack[0].tolist() for name, stack in weights.items()}, NUMBERS)
    twice = {name: torch.cat([stack, stack]).numpy() for name, stack in weights.items()}
    many = NumericControllers(make, twice, ARRAYS)
    state = memory = None
    for t in range(6):
        actions, state = act(tuple(x[0, t].tolist()), state)
        assert actions == pytest.approx(expected[t], rel=1e-10)
        found, memory = many(x[0, t].repeat(2, 3, 1).numpy(), memory, ARRAYS)
        assert found.tolist() == [[pytest.approx(expected[t], rel=1e-10)] * 3] * 2


def test_networks_that_do_not_say_what_a_cell_reads_stay_in_torch() -> None:
    assert numeric(phenotype()) is None
    assert numeric(controller(heads=2)) is None


def test_an_episode_is_the_same_in_numbers_and_in_torch() -> None:
    p, task = controller_of_poles(), DoublePole(DoublePole.Options())
    networks = genophen.Networks.of(p)
    starts = task.draw()
    few = run_networks(task, networks, starts, 100)
    slow = run_together(task, NetworkControllers(networks), starts, 100)
    assert few.steps.tolist() == slow.steps.tolist()
    assert few.steps.item() > 5
    assert few.recent.tolist() == [[pytest.approx(slow.recent.item(), rel=1e-9)]]


def controller_of_poles() -> genophen.Phenotype:
    made = genophen.compile(FastWeightController(3, 0, 1), ["fast.weight"], "fast-weights", **ANCHORED)
    with torch.no_grad():
        made.genotype.slow[0].first.copy_(torch.tensor([[0.1, 1.0, 0.5, 0.0]]))
    return made


def test_heads_that_do_not_divide_the_matrix_are_refused() -> None:
    with pytest.raises(genophen.ConfigError, match=r"shape \(6, 6\) and 4 heads"):
        phenotype(heads=4)

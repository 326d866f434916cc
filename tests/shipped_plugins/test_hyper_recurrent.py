"""Dynamic hypernetworks: the paper's counts, its equations as loops, and its initial values."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from genophen_plugins.architectures.cells import LSTMCell
from genophen_plugins.architectures.recurrent import RecurrentNetwork
from genophen_plugins.genotypes.hyper_sequence import BLOCK
from torch import Tensor

import genophen
from genophen.cli import main

TABLES = Path(__file__).parents[2] / "examples/tables"

#: Ha et al. 2016, the sizes that the paper prints.
COUNTS = {
    "ptb_lstm": "4,254,050",
    "ptb_hyper_lstm": "4,911,874",
    "ptb_hyper_lstm_layer_norm": "4,923,154",
    "ptb_hyper_lstm_two_layers": "14,407,714",
    "enwik8_lstm": "14,812,405",
    "enwik8_hyper_lstm": "18,708,213",
    "enwik8_hyper_lstm_layer_norm": "26,541,773",
}


@pytest.mark.parametrize("name", COUNTS)
def test_sizes_are_the_papers(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["params", str(TABLES / f"{name}.toml")])
    assert re.search(rf"total +{COUNTS[name]}\n", capsys.readouterr().out)


def phenotype(main_norm: bool = False, **options: Any) -> genophen.Phenotype:
    torch.manual_seed(0)
    network = RecurrentNetwork([LSTMCell(3, 5, main_norm)], 2, dropout=0.0).double()
    made = genophen.compile(
        network, ["cells.*.weight_*"], "hyper-lstm", hidden_size=4, embedding_dim=2, **options
    )
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():  # away from the start, where z's are constant
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draws, dtype=torch.float64))
    return made


def by_loops(p: genophen.Phenotype, x: Tensor, current: bool) -> Tensor:
    """Equations 10 to 13, a number at a time: one layer of an LSTM, no layer normalisation."""
    written = p.genotype.express()
    w_h, w_x, b_0 = (written[f"cells.0.{name}"] for name in ("weight_hh", "weight_ih", "bias_ih"))
    numbers = {n.rpartition("writers.0.")[2]: v for n, v in p.genotype.named_parameters()}
    units, dim, gates = 5, 2, 4
    outputs = []
    for sample in x:  # (T, F)
        h, c = torch.zeros(units).double(), torch.zeros(units).double()
        small_h, small_c = torch.zeros(4).double(), torch.zeros(4).double()
        for x_t in sample:
            before = small_h
            a = numbers["cell.weight_ih"] @ torch.cat([h, x_t]) + numbers["cell.weight_hh"] @ small_h
            write, keep, new, read = (a + numbers["cell.bias_ih"]).chunk(4)
            small_c = keep.sigmoid() * small_c + write.sigmoid() * new.tanh()
            small_h = read.sigmoid() * small_c.tanh()
            z = numbers["z_weight"] @ (small_h if current else before)  # (3 G N_z,)
            y = []
            for gate in range(gates):
                parts = []
                for part in range(3):
                    first = (part * gates + gate) * dim
                    own = z[first : first + dim]
                    if part < 2:
                        own = own + numbers["z_bias"][first : first + dim]
                    parts.append(own @ numbers["rows_weight"][part * gates + gate])  # (H,)
                rows = slice(gate * units, (gate + 1) * units)
                y.append(parts[0] * (w_h[rows] @ h) + parts[1] * (w_x[rows] @ x_t) + parts[2] + b_0[rows])
            c = y[1].sigmoid() * c + y[0].sigmoid() * y[2].tanh()
            h = y[3].sigmoid() * c.tanh()
        outputs.append(p.network.readout(h))
    return torch.stack(outputs)


@pytest.mark.parametrize("z_from", ["current", "previous"])
def test_a_sequence_is_the_papers_equations(z_from: str) -> None:
    p = phenotype(z_from=z_from)
    x = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = p.sequence(x)[0][:, -1]
    expected = by_loops(p, x, current=z_from == "current")
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)

    parameters = [q for q in p.parameters() if q.requires_grad]
    own = torch.autograd.grad(found.square().sum(), parameters)
    loops = torch.autograd.grad(expected.square().sum(), parameters)
    for one, other in zip(own, loops, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def test_gradients_are_those_of_differences() -> None:
    p = phenotype(layer_norm=True)
    x = torch.randn(1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: p.sequence(given)[0], (x,))


@pytest.mark.parametrize("layer_norm", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("z_from", ["current", "previous"])
def test_the_gradient_of_all_steps_is_that_of_one_after_the_other(
    z_from: str, layer_norm: tuple[bool, bool]
) -> None:
    """More steps than are taken together, from a state that is not zero, and all that comes out is used."""
    p = phenotype(z_from=z_from, layer_norm=layer_norm[0], main_norm=layer_norm[1])
    x = torch.randn(2, BLOCK + 3, 3, dtype=torch.float64, requires_grad=True)
    _, start = p.sequence(x[:, :2])
    start = genophen.each_tensor(lambda tensor: tensor.detach().requires_grad_(), start)
    found = []
    for outputs, state in (p.sequence(x, start), genophen.scan(p, x, start)):
        ((h, c),), own = state[0], state[1]["cells.0"]
        summed = sum(each.sin().sum() for each in (outputs, h, c, *own))
        wanted = [x, *start[0][0], *start[1]["cells.0"], *p.parameters()]
        found.append([outputs, h, c, *own, *torch.autograd.grad(summed, wanted)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_a_graph_is_freed_with_its_outputs() -> None:
    """And not once the collector runs: by then there may be a thousand of them."""
    p, x = phenotype(layer_norm=True, main_norm=True), torch.randn(2, 5, 3, dtype=torch.float64)
    made = p.sequence(x)
    kept = weakref.ref(made[1][0][0][1].grad_fn.parts[0])  # of c
    assert kept() is not None
    gc.disable()
    del made
    gc.enable()
    assert kept() is None


def test_without_gradients_nothing_is_kept_and_nothing_differs() -> None:
    p = phenotype(layer_norm=True, main_norm=True)
    x = torch.randn(2, BLOCK + 3, 3, dtype=torch.float64)
    with torch.no_grad():
        found, state = p.sequence(x)
    expected, expected_state = p.sequence(x)
    assert torch.equal(found, expected)
    torch.testing.assert_close(state, genophen.detached(expected_state), atol=0, rtol=0)


def test_step_by_step_is_the_sequence_and_a_state_goes_on() -> None:
    p = phenotype()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    whole, _ = p.sequence(x)
    state = None
    for t in range(5):
        output, state = p(x[:, t], state)
        torch.testing.assert_close(output, whole[:, t], atol=1e-12, rtol=0)


def test_scales_start_at_a_tenth_and_biases_at_the_networks_own() -> None:
    torch.manual_seed(0)
    network = RecurrentNetwork([LSTMCell(3, 5)], 2, dropout=0.0)
    genotype = genophen.compile(network, ["cells.*.weight_*"], "hyper-lstm").genotype
    written, _ = genotype.express_at("cells.0", torch.randn(2, 3), None, genotype.begin("cells.0", 2))
    for name in ("weight_hh", "weight_ih"):
        scaled = written[f"cells.0.{name}"]
        assert torch.equal(scaled.weight, getattr(network.cells[0], name))
        torch.testing.assert_close(scaled.rows, torch.full((2, 20), 0.1))
    torch.testing.assert_close(written["cells.0.bias_ih"], network.cells[0].bias_ih.expand(2, -1))


def test_a_network_without_such_cells_is_refused() -> None:
    with pytest.raises(genophen.ConfigError, match="cells with weight_ih"):
        genophen.compile(torch.nn.Sequential(torch.nn.Linear(3, 3)), ["0.weight"], "hyper-lstm")

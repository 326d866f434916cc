"""Targets of every kind: what each genotype writes for them, and that the network runs on it."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import genophen
from genophen.phenotype.targets import find_targets

ENCODINGS = ["hypernetwork", "cppn", "low-rank", "dct", "random-projection", "mlp-hypernetwork"]


class Attention(nn.Module):
    def __init__(self, **widths: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(20, 4, batch_first=True, **widths)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


def layers() -> dict[str, tuple[nn.Module, Tensor]]:
    """A layer of each kind and an input for it; no width but the cells' is a multiple of 16."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 50, (4, 5))
    sequence = torch.randn(6, 2, 5)  # (T, N, F)
    return {
        "Conv1d": (nn.Conv1d(3, 20, 5), torch.randn(2, 3, 9)),
        "grouped Conv2d": (nn.Conv2d(6, 20, 3, groups=2), torch.randn(2, 6, 9, 9)),
        "Conv3d": (nn.Conv3d(3, 20, (1, 3, 2)), torch.randn(2, 3, 5, 6, 7)),
        "ConvTranspose1d": (nn.ConvTranspose1d(20, 6, 5, stride=2), torch.randn(2, 20, 9)),
        "grouped ConvTranspose2d": (nn.ConvTranspose2d(6, 20, 3, groups=2), torch.randn(2, 6, 9, 9)),
        "ConvTranspose3d": (nn.ConvTranspose3d(3, 20, 2), torch.randn(2, 3, 4, 4, 4)),
        "Linear": (nn.Linear(20, 33), torch.randn(2, 20)),
        "Embedding": (nn.Embedding(50, 20, padding_idx=3), tokens),
        "EmbeddingBag": (nn.EmbeddingBag(50, 20), tokens),
        "LSTM": (nn.LSTM(5, 20, num_layers=2, bidirectional=True), sequence),
        "projected LSTM": (nn.LSTM(5, 20, proj_size=7), sequence),
        "GRU": (nn.GRU(5, 20, batch_first=True), torch.randn(2, 6, 5)),
        "RNN": (nn.RNN(5, 20, bias=False), sequence),
        "LSTMCell": (nn.LSTMCell(5, 16), torch.randn(2, 5)),
        "GRUCell": (nn.GRUCell(5, 20), torch.randn(2, 5)),
        "RNNCell": (nn.RNNCell(5, 20), torch.randn(2, 5)),
        "attention": (Attention(), torch.randn(2, 6, 20)),
        "attention of other keys": (Attention(kdim=20, vdim=20), torch.randn(2, 6, 20)),
        "BatchNorm2d": (nn.BatchNorm2d(20), torch.randn(2, 20, 4, 4)),
        "LayerNorm": (nn.LayerNorm((5, 4)), torch.randn(2, 5, 4)),
        "GroupNorm": (nn.GroupNorm(2, 4), torch.randn(2, 4, 4)),
    }


def outputs(network: nn.Module, x: Tensor) -> list[Tensor]:
    """The tensors of an output: (y, (h, c)) of an LSTM, say."""
    flat: list[Tensor] = []
    torch.utils._pytree.tree_map(flat.append, network(x))
    return flat


def assert_the_same(one: list[Tensor], other: list[Tensor]) -> None:
    """Equal to rounding: on some CPUs it depends on where in memory a recurrent layer's weights are."""
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("genotype", [*ENCODINGS, "direct"])
@pytest.mark.parametrize("layer", [*layers()])
def test_a_network_of_any_layer_runs_on_what_is_written_for_it(layer: str, genotype: str) -> None:
    module, x = layers()[layer]
    network = nn.Sequential(module)
    phenotype = genophen.compile(network, ["0.*weight*"], genotype)
    total = sum((output.square() + output).sum() for output in outputs(phenotype, x))
    assert isinstance(total, Tensor)
    total.backward()
    for name, parameter in phenotype.genotype.named_parameters():
        assert parameter.grad is not None, name
    phenotype.eval()
    plain = phenotype.materialize()
    with torch.no_grad():
        expected = outputs(plain, x)
        assert_the_same(outputs(phenotype, x), expected)
        assert_the_same(outputs(copy.deepcopy(phenotype), x), expected)
    assert list(plain.state_dict()) == list(network.state_dict())
    assert b"genophen" not in pickle.dumps(plain)
    for name, written in phenotype.weights().items():
        assert torch.equal(plain.get_parameter(name), written)
        if genotype == "direct":
            assert torch.equal(network.get_parameter(name), written)


@pytest.mark.parametrize(
    ("layer", "fan_ins"),
    [
        ("Conv1d", {"0.weight": 15}),
        ("Conv3d", {"0.weight": 18}),
        ("ConvTranspose1d", {"0.weight": 20 * 3}),  # of 5 numbers, every second reaches a pixel
        ("grouped ConvTranspose2d", {"0.weight": 3 * 9}),
        ("Embedding", {"0.weight": 20}),
        ("projected LSTM", {"0.weight_ih_l0": 12, "0.weight_hh_l0": 12, "0.weight_hr_l0": 20}),
        ("GRUCell", {"0.weight_ih": 25, "0.weight_hh": 25}),
        ("attention", {"0.attention.in_proj_weight": 20, "0.attention.out_proj.weight": 20}),
    ],
)
@pytest.mark.parametrize("genotype", ENCODINGS)
def test_standardized_weights_have_mean_0_and_variance_2_over_fan_in_in_each_unit(
    layer: str, fan_ins: dict[str, int], genotype: str
) -> None:
    network = nn.Sequential(layers()[layer][0]).double()
    phenotype = genophen.compile(network, ["0.*weight*"], genotype)
    weights = {name: w for name, w in phenotype.weights().items() if not phenotype.targets[name].is_bias}
    assert {name: phenotype.targets[name].fan_in for name in weights} == fan_ins
    for name, fan_in in fan_ins.items():
        rows = units(weights[name].detach(), network[0])
        if layer == "Embedding":
            assert not rows[3].any()  # the padding
            rows = rows[[row for row in range(50) if row != 3]]
        torch.testing.assert_close(rows.mean(1), torch.zeros_like(rows[:, 0]), atol=1e-9, rtol=0)
        expected = torch.full_like(rows[:, 0], 2 / fan_in)
        torch.testing.assert_close(rows.var(1, correction=0), expected, rtol=1e-4, atol=0)


def units(weight: Tensor, layer: nn.Module) -> Tensor:
    """The weights of one output channel a row."""
    if type(layer).__name__.startswith("ConvTranspose"):
        groups = weight.view(
            layer.groups, -1, *weight.shape[1:]
        )  # (groups, C_in / groups, C_out / groups, ...)
        return groups.transpose(1, 2).flatten(0, 1).flatten(1)
    return weight.flatten(1)


def test_a_transposed_convolution_is_that_of_its_kernel() -> None:
    """The gradient of a convolution is the transposed convolution of the same kernel."""
    torch.manual_seed(0)
    target = find_targets(nn.Sequential(nn.ConvTranspose2d(6, 4, 3, groups=2)), ["0.weight"])["0.weight"]
    assert (target.shape, target.kernel_shape) == ((6, 2, 3, 3), (4, 3, 3, 3))
    kernel = torch.randn(target.kernel_shape, dtype=torch.float64)
    x = torch.randn(1, 6, 5, 5, dtype=torch.float64)
    written = nn.functional.conv_transpose2d(x, target.from_kernel(kernel), groups=2)
    for output in range(4):
        own = x[:, 3 * (output // 2) : 3 * (output // 2) + 3]  # the group's input channels
        alone = nn.functional.conv_transpose2d(own, kernel[output][:, None])  # (C_in, 1, kh, kw)
        torch.testing.assert_close(written[:, output : output + 1], alone)


@pytest.mark.parametrize(
    ("layer", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1), ("LSTMCell", 4), ("GRUCell", 3), ("RNNCell", 1)]
)
def test_each_gate_has_rows_of_blocks_of_its_own(layer: str, gates: int) -> None:
    module, _ = layers()[layer]
    phenotype = genophen.compile(nn.Sequential(module), ["0.weight_ih*"], embedding_dim=2)
    targets = [target for target in phenotype.targets.values() if not target.is_bias]
    assert {target.gates for target in targets} == {gates}
    blocks = sum(gates * math.ceil(module.hidden_size / 16) * math.ceil(t.shape[1] / 16) for t in targets)
    embeddings = phenotype.genotype.generators["1x1"].embeddings
    assert embeddings.shape == (blocks, 2)
    before = phenotype.weights()[targets[0].name].detach()
    with torch.no_grad():
        embeddings[0] += 1  # of the first rows of the first gate
    changed = (phenotype.weights()[targets[0].name] != before).any(1)
    assert changed.nonzero().flatten().tolist() == list(range(min(16, module.hidden_size)))


def test_under_cppn_gates_are_layers_between_two() -> None:
    network = nn.Sequential(nn.GRUCell(6, 5), nn.Linear(6, 5))
    phenotype = genophen.compile(network, ["0.weight_ih", "1.weight"], "cppn", normalization="none")
    with torch.no_grad():
        gates = phenotype.weights()["0.weight_ih"] * math.sqrt(11)
        dense = phenotype.weights()["1.weight"] * math.sqrt(6)
        phenotype.genotype.weight_in[:, 0] = 0  # the layer no longer matters
        alike = phenotype.weights()["0.weight_ih"].chunk(3)
    assert not torch.allclose(gates[:5], gates[5:10])
    assert torch.equal(alike[0], alike[1])
    assert torch.equal(alike[1], alike[2])
    assert not torch.allclose(dense, gates[10:])


def test_cppn_places_a_weight_of_three_axes_by_its_depth() -> None:
    network = nn.Sequential(nn.Conv3d(4, 4, (3, 1, 1)), nn.Conv2d(4, 4, 3))
    phenotype = genophen.compile(network, ["*.weight"], "cppn", normalization="none")
    assert phenotype.genotype.weight_in.shape == (16, 7)
    before = {name: weight.detach() for name, weight in phenotype.weights().items()}
    with torch.no_grad():
        phenotype.genotype.weight_in[:, 6] += 1
    after = phenotype.weights()
    assert torch.equal(after["1.weight"], before["1.weight"])
    changed = (after["0.weight"] != before["0.weight"]).flatten(2).any(0).any(0)
    assert changed.tolist() == [True, False, True]  # the middle has depth 0


@pytest.mark.parametrize("genotype", ["hypernetwork", "cppn"])
def test_norm_scales_start_around_1_where_a_pattern_names_them(genotype: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64))
    phenotype = genophen.compile(network, ["1.weight", "3.weight"], genotype)
    scales = torch.cat([phenotype.weights()["1.weight"], phenotype.weights()["3.weight"]]).detach()
    assert scales.mean().item() == pytest.approx(1, abs=0.2)
    assert 0.05 < scales.std().item() < 0.2
    assert "network.1.bias" in dict(phenotype.named_parameters())


def test_a_tied_table_is_written_once() -> None:
    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(30, 20)
            self.decode = nn.Linear(20, 30)
            self.decode.weight = self.table.weight

        def forward(self, tokens: Tensor) -> Any:
            return self.decode(self.table(tokens))

    phenotype = genophen.compile(Language(), ["decode.weight"], embedding_dim=2)
    target = phenotype.targets["table.weight"]
    assert (target.kind, target.shape, phenotype.names_of["table.weight"]) == (
        "embedding", (30, 20), ["table.weight", "decode.weight"],
    )  # fmt: skip
    plain = phenotype.materialize()
    assert plain.decode.weight is plain.table.weight
    tokens = torch.randint(0, 30, (2, 7))
    assert torch.equal(phenotype.eval()(tokens), plain(tokens))


def test_a_recurrent_phenotype_moves_and_is_saved_like_any_module() -> None:
    module, x = layers()["LSTM"]
    phenotype = genophen.compile(nn.Sequential(module), ["0.weight*"]).eval()
    other = genophen.compile(nn.Sequential(module), ["0.weight*"], seed=1).eval()
    other.load_state_dict(phenotype.state_dict())
    assert_the_same(outputs(other, x), outputs(phenotype, x))
    again = pickle.loads(pickle.dumps(phenotype))
    assert_the_same(outputs(again, x), outputs(phenotype, x))
    doubled = phenotype.double()
    assert {output.dtype for output in outputs(doubled, x.double())} == {torch.float64}
    assert_the_same(outputs(doubled, x.double()), outputs(doubled.materialize(), x.double()))

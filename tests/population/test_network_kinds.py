"""Networks of every kind that people bring, many weight sets at once: as one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from helpers import candidates_of, one_by_one
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models.vision_transformer import VisionTransformer

import genophen
from genophen.population.networks import Networks
from genophen.population.population import Population

#: Share of an output's largest number by which sums in another order may differ in float32.
TOLERANCE = 1e-5


def weight_sets(network: nn.Module, count: int) -> dict[str, Tensor]:
    """Every parameter near the network's own, and each set's another."""
    draws = torch.Generator().manual_seed(1)
    return {
        name: p.detach() * (1 + 0.1 * torch.randn(count, *p.shape, generator=draws))
        for name, p in network.named_parameters()
    }


def tensors_of(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [t for item in value for t in tensors_of(item)]


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max()  # they do differ


def assert_as_by_themselves(network: nn.Module, *inputs: Any, count: int = 3) -> Networks:
    """Three weight sets, all parameters of each its own, on inputs that all share."""
    weights = weight_sets(network.eval(), count)
    networks = Networks(network, weights)
    found = tensors_of(networks(*inputs))
    with torch.no_grad():
        alone = [
            tensors_of(functional_call(network, {n: w[p] for n, w in weights.items()}, inputs))
            for p in range(count)
        ]
    for place, output in enumerate(found):
        assert_close(output, torch.stack([each[place] for each in alone]))
    return networks


class Recurrent(nn.Module):
    """The outputs of a recurrent layer, and its last state, whatever that is."""

    def __init__(self, kind: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.layer = kind(5, 6, **options)
        self.head = nn.Linear(6 * (1 + self.layer.bidirectional), 3)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        hidden, state = self.layer(x, state)
        return self.head(hidden), state


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False}],
    ids=["plain", "deep and both ways", "batch first"],
)
def test_recurrent_layers(kind: type[nn.RNNBase], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network, x = Recurrent(kind, **options), torch.randn(4, 4, 5)
    networks = assert_as_by_themselves(network, x)
    assert networks.folded
    outputs, state = networks(x)
    whole, _ = networks(torch.cat([x, x], int(network.layer.batch_first)))
    if not network.layer.bidirectional:  # going on from a state is as going on
        later, _ = networks(x, state)
        both = torch.cat([outputs, later], 1 + int(network.layer.batch_first))
        assert_close(both, whole)


class Cells(nn.Module):
    """A loop over time through a cell."""

    def __init__(self, kind: type[nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell, self.pair = kind(5, 6), kind is nn.LSTMCell

    def forward(self, x: Tensor) -> Tensor:
        state: Any = None
        hidden = []
        for t in range(4):
            state = self.cell(x[t], state)
            hidden.append(state[0] if self.pair else state)
        return torch.stack(hidden)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_recurrent_cells(kind: type[nn.RNNCellBase]) -> None:
    torch.manual_seed(0)
    assert assert_as_by_themselves(Cells(kind), torch.randn(4, 7, 5)).folded


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_encoder(norm_first: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=norm_first)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    network = nn.Sequential(nn.Embedding(11, 16), encoder, nn.Linear(16, 11))
    assert assert_as_by_themselves(network, torch.randint(0, 11, (3, 8))).folded


class Masked(nn.Module):
    """Attention of one sequence to another, some of which is hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor, context: Tensor, hidden: Tensor) -> Any:
        return self.attention(x, context, context, key_padding_mask=hidden)


def test_attention_to_something_else_with_a_mask() -> None:
    torch.manual_seed(0)
    hidden = torch.tensor([[False, False, True], [False, True, True]])
    assert_as_by_themselves(Masked(), torch.randn(2, 4, 8), torch.randn(2, 3, 8), hidden)


CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "1d": (
        lambda: nn.Sequential(
            nn.Conv1d(3, 8, 5, padding=2, dilation=1), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(8, 6, 3, stride=2, groups=2), nn.Flatten(), nn.Linear(24, 3),
        ),
        (4, 3, 20),
    ),
    "3d": (
        lambda: nn.Sequential(
            nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.AvgPool3d(2),
            nn.Conv3d(4, 4, 2, dilation=2), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool3d(1), nn.Flatten(),
            nn.Linear(4, 3),
        ),
        (2, 1, 8, 8, 8),
    ),
    "depthwise, strided, dilated": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.Conv2d(8, 8, 3, groups=8, padding="same"),
            nn.Hardswish(), nn.Conv2d(8, 12, 1), nn.Conv2d(12, 6, 3, dilation=2, groups=3), nn.ReLU6(),
            nn.Conv2d(6, 4, 3, padding=1, padding_mode="reflect"), nn.Flatten(), nn.LazyLinear(3),
        ),
        (3, 3, 16, 16),
    ),
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(3, 6, 3, stride=2), nn.InstanceNorm2d(6, affine=True), nn.LeakyReLU(),
            nn.ConvTranspose2d(6, 2, 4, groups=2), nn.Upsample(scale_factor=2), nn.Sigmoid(),
        ),
        (3, 3, 5, 5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolutions(kind: str) -> None:
    torch.manual_seed(0)
    build, shape = CONVOLUTIONS[kind]
    network, x = build(), torch.randn(shape)
    network(x)
    assert assert_as_by_themselves(network, x).folded


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.vector = nn.Conv2d(3, 4, 3), nn.Bilinear(4, 5, 6)

    def forward(self, image: Tensor, vector: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        seen = self.image(image).relu().mean((2, 3))
        return self.vector(seen, vector), (seen, seen.softmax(1))


def test_two_inputs_and_a_tuple_of_outputs() -> None:
    torch.manual_seed(0)
    assert_as_by_themselves(TwoInputs(), torch.randn(3, 3, 6, 6), torch.randn(3, 5))


def small_vision_transformer() -> nn.Module:
    network = VisionTransformer(32, 8, 3, 4, 48, 96, num_classes=10)
    nn.init.normal_(network.heads.head.weight)  # zero at the start
    return network


def vit_b_16() -> nn.Module:
    network = torchvision.models.vit_b_16(image_size=32)
    nn.init.normal_(network.heads.head.weight)
    return network


MODELS: list[Any] = [
    pytest.param(small_vision_transformer, id="vision transformer"),
    pytest.param(torchvision.models.mobilenet_v3_small, id="mobilenet_v3_small"),
    pytest.param(torchvision.models.resnet18, id="resnet18", marks=pytest.mark.slow),
    pytest.param(torchvision.models.densenet121, id="densenet121", marks=pytest.mark.slow),
    pytest.param(vit_b_16, id="vit_b_16", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("images", [1, 5])
def test_torchvision_models(model: Callable[[], nn.Module], images: int) -> None:
    torch.manual_seed(0)
    networks = assert_as_by_themselves(model(), torch.randn(images, 3, 32, 32), count=2)
    assert networks.folded


@pytest.mark.parametrize("scope", ["embeddings", "genotype"])
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(torchvision.models.mobilenet_v3_small, id="mobilenet_v3_small"),
        pytest.param(torchvision.models.resnet18, id="resnet18", marks=pytest.mark.slow),
        pytest.param(torchvision.models.densenet121, id="densenet121", marks=pytest.mark.slow),
    ],
)
def test_populations_of_torchvision_models(model: Callable[[], nn.Module], scope: Any) -> None:
    torch.manual_seed(0)
    network = model()
    kernels = [name for name, parameter in network.named_parameters() if parameter.dim() == 4]
    phenotype = genophen.compile(network, kernels, embedding_dim=4, projection_dim=4)
    population = Population(phenotype, phenotype.genes(scope))
    candidates, x = candidates_of(population, 3), torch.randn(5, 3, 32, 32)
    expected = one_by_one(phenotype, population, candidates, x)
    assert_close(population.logits(candidates, x), expected)

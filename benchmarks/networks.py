"""The contestants of the training step: one network, its kernels written in different ways."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

import genophen
from genophen.plugins.loading import load_plugins

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
INSTALL = "not installed: pip install -r benchmarks/requirements.txt"
Generate = Callable[[], dict[str, Tensor]]


def make_phenotype(architecture: genophen.Architecture, embedding_dim: int) -> genophen.Phenotype:
    """The architecture under the hypernetwork with its defaults, on the device, channels last."""
    cls = load_plugins().get("genotype", "hypernetwork").cls
    network, patterns = architecture.build(), architecture.expressed()
    phenotype = genophen.compile_phenotype(network, patterns, cls, cls.Options(embedding_dim=embedding_dim))
    return phenotype.to(DEVICE).to(memory_format=torch.channels_last)


def make_architecture(name: str) -> genophen.Architecture:
    architecture: genophen.Architecture = load_plugins().get("architecture", name).cls()
    return architecture


def make_plain(architecture: genophen.Architecture) -> nn.Module:
    return architecture.build().to(DEVICE).to(memory_format=torch.channels_last)


class Generated(nn.Module):
    """A network on the weights that `generator`, a module called without arguments, gives by name."""

    def __init__(self, network: nn.Module, generator: nn.Module) -> None:
        super().__init__()
        self.network, self.generator = network, generator
        for name in generator():
            network.get_parameter(name).requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = functional_call(self.network, self.generator(), (images,))
        return output


class BlockLoop(nn.Module):
    """The usual way to write the static hypernetwork: one block after the other, put together with `cat`.

    Made from a shipped hypernetwork, on copies of its numbers: it writes the same weights.
    """

    def __init__(self, genotype: genophen.Genotype) -> None:
        super().__init__()
        self.standardized = genotype.standardized
        self.layers = {size: generator.tilings for size, generator in genotype.generators.items()}
        self.parts = nn.ModuleDict()
        for size, generator in genotype.generators.items():
            part = nn.ParameterDict({name: p.detach().clone() for name, p in generator.named_parameters()})
            part["z"] = nn.ParameterList(part.pop("embeddings").detach().clone().unbind())
            self.parts[size] = part

    def forward(self) -> dict[str, Tensor]:
        weights = {}
        for size, tilings in self.layers.items():
            blocks = itertools.count()
            for tiling in tilings:
                rows = []
                for _ in range(tiling.rows):
                    row = [self._block(size, next(blocks)) for _ in range(tiling.columns)]
                    rows.append(torch.cat(row, 1))
                target = tiling.target
                weight = torch.cat(rows)[: target.shape[0], : target.shape[1]]  # (C_out, C_in, kh, kw)
                weights[target.name] = genophen.standardize(weight) if self.standardized else weight
        return weights

    def _block(self, size: str, index: int) -> Tensor:
        part = self.parts[size]
        kh, kw = (int(side) for side in size.split("x"))
        basis, d = part["bias_in"].shape
        a = torch.matmul(part["weight_in"].view(basis * d, -1), part["z"][index]) + part["bias_in"].view(-1)
        kernels = torch.matmul(a.view(basis, d), part["weight_out"].view(-1, d).T) + part["bias_out"].view(-1)
        return kernels.view(basis, kh, basis, kw).permute(2, 0, 1, 3)  # (B_out, B_in, kh, kw)


class HypnettorchChunks(nn.Module):
    """hypnettorch's chunked hypernetwork: a chunk has as many numbers as a basic kernel."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], embedding_dim: int) -> None:
        super().__init__()
        module = importlib.import_module("hypnettorch.hnets.chunked_mlp_hnet")
        shape = next(iter(shapes.values()))
        self.names = list(shapes)
        self.hypernetwork = module.ChunkedHMLP(
            [list(shape) for shape in shapes.values()],
            chunk_size=16 * 16 * shape[2] * shape[3],
            chunk_emb_size=embedding_dim,
            cond_chunk_embs=True,
            cond_in_size=0,
            layers=(embedding_dim,),
            verbose=False,
        )

    def forward(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.hypernetwork(cond_id=0), strict=True))


class HyperlightWhole(nn.Module):
    """hyperlight as its own page shows it: one vector to all weights."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], embedding_dim: int) -> None:
        super().__init__()
        hyperlight = importlib.import_module("hyperlight.hypernet")
        self.names = {name.replace(".", "-"): name for name in shapes}
        self.z = nn.Parameter(torch.rand(embedding_dim))
        self.hypernetwork = hyperlight.HyperNet(
            {"z": (embedding_dim,)},
            {name.replace(".", "-"): shape for name, shape in shapes.items()},
            hidden_sizes=[embedding_dim],
        )

    def forward(self) -> dict[str, Tensor]:
        written = self.hypernetwork(z=self.z)
        return {self.names[key]: weight for key, weight in written.items()}


class HyperlightBlocks(nn.Module):
    """hyperlight with one vector a basic kernel, all blocks in one batch, put together as above."""

    def __init__(self, genotype: genophen.Genotype, embedding_dim: int) -> None:
        super().__init__()
        hyperlight = importlib.import_module("hyperlight.hypernet")
        ((size, generator),) = genotype.generators.items()
        self.tilings = generator.tilings
        self.kernel = tuple(int(side) for side in size.split("x"))
        self.z = nn.Parameter(torch.rand(sum(t.num_blocks for t in self.tilings), embedding_dim))
        block = {"block": (16, 16, *self.kernel)}
        self.hypernetwork = hyperlight.HyperNet({"z": (embedding_dim,)}, block, hidden_sizes=[embedding_dim])

    def forward(self) -> dict[str, Tensor]:
        blocks = self.hypernetwork(z=self.z)["block"].view(-1, 16, 16, *self.kernel)
        weights = {}
        split = blocks.split([t.num_blocks for t in self.tilings])
        for t, own in zip(self.tilings, split, strict=True):
            tiles = own.view(t.rows, t.columns, 16, 16, *self.kernel).transpose(1, 2)
            weight = tiles.reshape(t.rows * 16, t.columns, 16, *self.kernel).flatten(1, 2)
            weights[t.name] = weight[: t.shape[0], : t.shape[1]]
        return weights


def peers(phenotype: genophen.Phenotype, embedding_dim: int) -> tuple[dict[str, nn.Module], list[str]]:
    """What generates the same weights' shapes in other ways, and a line for each that is not there."""
    shapes = {name: target.shape for name, target in phenotype.targets.items() if not target.is_bias}
    genotype = phenotype.genotype
    made: dict[str, nn.Module] = {"block loop": BlockLoop(genotype)}
    absent = []
    for package, make in {
        "hypnettorch": lambda: {"hypnettorch, chunks": HypnettorchChunks(shapes, embedding_dim)},
        "hyperlight": lambda: {
            "hyperlight, whole": HyperlightWhole(shapes, embedding_dim),
            "hyperlight, blocks": HyperlightBlocks(genotype, embedding_dim),
        },
    }.items():
        try:
            with _own_global_draws():
                made |= make()
        except ImportError:
            absent.append(f"{package}: {INSTALL}")
    return {name: module.to(DEVICE) for name, module in made.items()}, absent


@contextmanager
def _own_global_draws() -> Iterator[None]:
    with torch.random.fork_rng():
        yield


def training_step(network: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """Forward, backward and a fused Adam update on one batch."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, 1e-5, fused=True)

    def step() -> None:
        loss = F.cross_entropy(network.train()(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def evaluation_step(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """A forward pass in eval mode, without gradients."""

    def step() -> None:
        with torch.inference_mode():
            network.eval()(images)

    return step

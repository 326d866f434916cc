"""A HyperLSTM's training step beside LSTMs and beside its equations written down gate by gate.

Forward, backward and Adam: 256 units, a small cell of 64, N_z 4, 64 sequences of 64 steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from genophen_plugins.architectures.cells import LSTMCell
from genophen_plugins.architectures.recurrent import RecurrentNetwork
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from benchmarks.networks import DEVICE
from benchmarks.table import Table
from benchmarks.timing import compare


@dataclass(frozen=True)
class Sizes:
    inputs: int = 64
    units: int = 256
    small: int = 64
    z: int = 4
    batch: int = 64
    steps: int = 64


class FusedLSTM(nn.Module):
    """torch's own LSTM and a dense readout at every step."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.lstm = nn.LSTM(sizes.inputs, sizes.units, batch_first=True)
        self.readout = nn.Linear(sizes.units, sizes.inputs)

    def sequence(self, x: Tensor, state: object = None) -> tuple[Tensor, None]:
        return self.readout(self.lstm(x)[0]), None

    def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, None]:
        return self.sequence(x)


class CellLoop(nn.Module):
    """torch's LSTM cell, step by step."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(sizes.inputs, sizes.units)
        self.readout = nn.Linear(sizes.units, sizes.inputs)

    def sequence(self, x: Tensor) -> tuple[Tensor, None]:
        state, outputs = None, []
        for x_t in x.unbind(1):
            state = self.cell(x_t, state)
            outputs.append(state[0])
        return self.readout(torch.stack(outputs, 1)), None


class WrittenDown(nn.Module):
    """Ha et al. 2016, equations 10 to 13 and A.2.2, as they stand there: gate by gate, step by step.

    Gates in the order write, keep, new, read. With `layer_norm` each gate of both cells, and their c, is
    normalised.
    """

    def __init__(self, sizes: Sizes, layer_norm: bool) -> None:
        super().__init__()
        units, small, z = sizes.units, sizes.small, sizes.z
        gates = range(4)
        self.small_x = nn.Linear(sizes.units + sizes.inputs, 4 * small)
        self.small_h = nn.Linear(small, 4 * small, bias=False)
        self.z_h, self.z_x = nn.Linear(small, 4 * z), nn.Linear(small, 4 * z)
        self.z_b = nn.Linear(small, 4 * z, bias=False)
        self.d_h = nn.ModuleList(nn.Linear(z, units, bias=False) for _ in gates)
        self.d_x = nn.ModuleList(nn.Linear(z, units, bias=False) for _ in gates)
        self.d_b = nn.ModuleList(nn.Linear(z, units) for _ in gates)
        self.w_h = nn.ParameterList(nn.Parameter(torch.randn(units, units)) for _ in gates)
        self.w_x = nn.ParameterList(nn.Parameter(torch.randn(units, sizes.inputs)) for _ in gates)
        self.readout = nn.Linear(units, sizes.inputs)

        def norm(size: int) -> nn.Module:
            return nn.LayerNorm(size) if layer_norm else nn.Identity()

        self.norms = nn.ModuleList(norm(units) for _ in range(5))
        self.small_norms = nn.ModuleList(norm(small) for _ in range(5))

    def sequence(self, x: Tensor) -> tuple[Tensor, None]:
        h = c = x.new_zeros(len(x), self.w_h[0].shape[1])
        small_h = small_c = x.new_zeros(len(x), self.small_h.in_features)
        outputs = []
        for x_t in x.unbind(1):
            every = self.small_x(torch.cat([h, x_t], 1)) + self.small_h(small_h)
            small_h, small_c = _step(every.chunk(4, 1), small_c, self.small_norms)
            z_h, z_x, z_b = (each(small_h).chunk(4, 1) for each in (self.z_h, self.z_x, self.z_b))
            gates = [
                self.d_h[i](z_h[i]) * F.linear(h, self.w_h[i])
                + self.d_x[i](z_x[i]) * F.linear(x_t, self.w_x[i])
                + self.d_b[i](z_b[i])
                for i in range(4)
            ]
            h, c = _step(gates, c, self.norms)
            outputs.append(h)
        return self.readout(torch.stack(outputs, 1)), None

    def take_over(self, phenotype: genophen.Phenotype) -> None:
        """Put in the numbers of a phenotype on `hyper-lstm`, so that both compute the same."""
        writer, cell = phenotype.genotype.writers[0], phenotype.network.cells[0]
        w_x, w_h, bias = (
            phenotype.genotype.express()[f"cells.0.{n}"] for n in ("weight_ih", "weight_hh", "bias_ih")
        )
        z_h, z_x, z_b = writer.z_weight.chunk(3)
        pairs = [
            (self.small_x.weight, writer.cell.weight_ih),
            (self.small_x.bias, writer.cell.bias_ih),
            (self.small_h.weight, writer.cell.weight_hh),
            *zip((self.z_h.weight, self.z_x.weight, self.z_b.weight), (z_h, z_x, z_b), strict=True),
            *zip((self.z_h.bias, self.z_x.bias), writer.z_bias.chunk(2), strict=True),
            (self.readout.weight, phenotype.network.readout.weight),
            (self.readout.bias, phenotype.network.readout.bias),
        ]
        for i in range(4):
            rows = [writer.rows_weight[part * 4 + i].T for part in range(3)]
            parts = (self.d_h[i].weight, self.d_x[i].weight, self.d_b[i].weight)
            pairs += [*zip(parts, rows, strict=True), (self.d_b[i].bias, bias.chunk(4)[i])]
            pairs += [(self.w_h[i], w_h.chunk(4)[i]), (self.w_x[i], w_x.chunk(4)[i])]
            for norms, own in ((self.norms, cell.norm), (self.small_norms, writer.cell.norm)):
                if own is not None:
                    pairs += [(norms[i].weight, own.gain[i]), (norms[i].bias, own.bias[i])]
        with torch.no_grad():
            for place, value in pairs:
                place.copy_(value)


def _step(gates: list[Tensor], cell: Tensor, norms: nn.ModuleList) -> tuple[Tensor, Tensor]:
    write, keep, new, read = (norm(gate) for norm, gate in zip(norms, gates, strict=False))
    cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(new)
    return torch.sigmoid(read) * torch.tanh(norms[4](cell)), cell


def make_hyper(sizes: Sizes, layer_norm: bool) -> genophen.Phenotype:
    network = RecurrentNetwork([LSTMCell(sizes.inputs, sizes.units, layer_norm)], sizes.inputs, dropout=0.0)
    settings = {"hidden_size": sizes.small, "embedding_dim": sizes.z, "layer_norm": layer_norm}
    return genophen.compile(network, ["cells.*.weight_*"], "hyper-lstm", **settings)


def contestants(sizes: Sizes) -> dict[str, nn.Module]:
    static = genophen.compile(FusedLSTM(sizes), ["lstm.weight_*"], "hypernetwork", embedding_dim=16)
    return {
        "nn.LSTMCell loop": CellLoop(sizes),
        "nn.LSTM": FusedLSTM(sizes),
        "static hypernetwork on nn.LSTM": static,
        "hyper-lstm": make_hyper(sizes, layer_norm=False),
        "written down": WrittenDown(sizes, layer_norm=False),
        "hyper-lstm, layer norm": make_hyper(sizes, layer_norm=True),
        "written down, layer norm": WrittenDown(sizes, layer_norm=True),
    }


def step_of(network: nn.Module, sizes: Sizes) -> Callable[[], object]:
    """A training step on symbols that were drawn once."""
    draws = torch.Generator().manual_seed(0)
    shape = (sizes.batch, sizes.steps)
    symbols = torch.randint(sizes.inputs, shape, generator=draws).to(DEVICE)
    targets = torch.randint(sizes.inputs, shape, generator=draws).to(DEVICE).flatten()
    x = genophen.symbol_vectors(symbols, sizes.inputs)
    network = network.to(DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)

    def step() -> None:
        loss = F.cross_entropy(network.sequence(x)[0].flatten(0, 1), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def tables(pairs: int) -> list[Table]:
    sizes = Sizes()
    steps = {name: step_of(network, sizes) for name, network in contestants(sizes).items()}
    title = (
        f"{sizes.units} units, small cell {sizes.small}, N_z {sizes.z}, {sizes.batch} x {sizes.steps} steps"
    )
    plain, normed = ("hyper-lstm", "written down"), ("hyper-lstm, layer norm", "written down, layer norm")
    fused = ("static hypernetwork on nn.LSTM", "nn.LSTM")
    return [
        Table(
            f"training step of a HyperLSTM: {title}",
            compare({n: steps[n] for n in ("nn.LSTMCell loop", *plain)}, "nn.LSTMCell loop", pairs),
            at_most={"hyper-lstm": 2.5},
        ),
        *(
            Table(
                f"the same beside its equations written down{', layer norm' if pair is normed else ''}",
                compare({n: steps[n] for n in pair}, pair[1], pairs),
                at_most={pair[0]: round(1 / 1.5, 3)},
            )
            for pair in (plain, normed)
        ),
        Table(
            f"a static hypernetwork on nn.LSTM: {title}",
            compare({n: steps[n] for n in fused}, "nn.LSTM", pairs),
            at_most={fused[0]: 1.1},
        ),
    ]

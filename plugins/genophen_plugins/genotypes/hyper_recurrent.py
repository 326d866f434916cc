"""Dynamic hypernetworks: a small recurrent cell that rescales a larger one's weights at every time step.

Ha, Dai & Le 2016, "HyperNetworks", equations 10 to 13 and appendix A.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen_plugins.architectures.cells import Cell, LSTMCell, RNNCell
from genophen_plugins.genotypes.hyper_sequence import HyperSequence, Settings
from genophen_plugins.genotypes.lstm_steps import norms_of

#: What each z changes: the rows of the matrix that reads h, those of the one that reads x, and the bias.
_PARTS = 3
#: Where the scales of rows start (A.2.3).
_FIRST_SCALE = 0.1


class HyperOptions(genophen.Options):
    hidden_size: int = Field(64, ge=1, le=65_536, description="units of the small cell")
    embedding_dim: int = Field(
        4, ge=1, le=4096, description="N_z: length of each z; there are three for every gate"
    )
    layer_norm: bool = Field(False, description="layer normalisation of the small cell's gates")
    z_from: Literal["current", "previous"] = Field(
        "current",
        description="'current': z comes from what the small cell gives at this step, as in the authors' "
        "code; 'previous': from the step before, as in the paper's equation 11",
    )


class HyperWriter(nn.Module):
    """The small cell beside one cell of the main network, and what makes scales and biases of its output."""

    def __init__(self, kind: type[Cell], inputs: int, gates: int, units: int, options: HyperOptions) -> None:
        super().__init__()
        size, dim = options.hidden_size, options.embedding_dim
        self.cell = kind(inputs + units, size, options.layer_norm)
        #: From the small cell's output to z_h, z_x and z_b of every gate; the last without a bias.
        self.z_weight = nn.Parameter(torch.zeros(_PARTS * gates * dim, size))
        self.z_bias = nn.Parameter(torch.ones((_PARTS - 1) * gates * dim))
        #: From each z to the rows of its gate: scales, and bias values.
        self.rows_weight = nn.Parameter(torch.zeros(_PARTS * gates, dim, units))
        with torch.no_grad():
            self.rows_weight[: (_PARTS - 1) * gates].fill_(_FIRST_SCALE / dim)
        self._before = options.z_from == "previous"

    def draw(self, generator: torch.Generator) -> None:
        """Initial values that A.2.3 draws: the small cell as any, z_b's weights with deviation 0.01."""
        with torch.no_grad():
            self.z_weight[len(self.z_bias) :].normal_(std=0.01, generator=generator)
        self.cell.redraw(generator)

    def forward(self, inputs: Tensor, state: Any) -> tuple[tuple[Tensor, ...], Any]:
        """Inputs [h; x] (N, H + F) to the rows' scales for h and for x and the bias, each (N, G H)."""
        output, after = self.cell(inputs, state)
        z = self.z(state[0] if self._before else output)
        z = z.view(len(z), -1, self.rows_weight.shape[1]).transpose(0, 1)  # (3 G, N, N_z)
        rows = torch.bmm(z, self.rows_weight).transpose(0, 1)  # (N, 3 G, H)
        return tuple(rows.reshape(len(inputs), _PARTS, -1).unbind(1)), after

    def z(self, source: Tensor) -> Tensor:
        """z_h, z_x and z_b of every gate, (N, 3 G N_z), from what the small cell gives, (N, H)."""
        bias = F.pad(self.z_bias, (0, len(self.z_weight) - len(self.z_bias)))
        return F.linear(source, self.z_weight, bias)

    def all_steps(
        self, main: LSTMCell, weights: Sequence[Tensor], x: Tensor, carried: Any, state: Any
    ) -> tuple[Tensor, Any, Any]:
        """An LSTM's outputs (N, T, H) beside a small LSTM, and the last state of both.

        `weights`: weight_hh, weight_ih and bias_ih of the main cell, which are rescaled.
        """
        small = cast("LSTMCell", self.cell)
        norms, small_norms = norms_of(main), norms_of(small)
        own = (small.weight_hh, small.weight_ih, small.bias_ih, self.z_weight, self.z_bias, self.rows_weight)
        tensors = (x, *carried, *state, *weights, *own, *norms, *small_norms)
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        settings = Settings(self._before, keep, len(norms))
        outputs, cell, small_hidden, small_cell = HyperSequence.apply(settings, *tensors)
        return outputs, (outputs[:, -1], cell), (small_hidden, small_cell)


class HyperRecurrent(genophen.DynamicGenotype):
    """One small cell beside each cell of the main network; its own weights are the ones that are rescaled."""

    Options: ClassVar[type[genophen.Options]] = HyperOptions
    #: What the small cell is.
    kind: ClassVar[type[Cell]]

    def __init__(
        self, options: HyperOptions, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self._names = list(targets)
        self.weights = nn.ParameterList(nn.Parameter(target.initial.clone()) for target in targets.values())
        self.writers = nn.ModuleList()
        self._places: dict[str, tuple[int, str, str]] = {}
        for cell in dict.fromkeys(name.rpartition(".")[0] for name in targets):
            of_x, of_h = (self._target(targets, cell, name) for name in ("weight_ih", "weight_hh"))
            self._target(targets, cell, "bias_ih")
            units = of_h.shape[1]
            with torch.random.fork_rng(devices=[]):  # modules draw from the global one as they are built
                writer = HyperWriter(self.kind, of_x.shape[1], of_x.shape[0] // units, units, options)
            writer.draw(generator)
            self._places[cell] = (len(self.writers), of_x.name, of_h.name)
            self.writers.append(writer)

    def _target(self, targets: dict[str, genophen.Target], cell: str, attribute: str) -> genophen.Target:
        name = f"{cell}.{attribute}" if cell else attribute
        if name not in targets:
            raise genophen.ConfigError(
                f"cannot write the network with the genotype {self.name}",
                found=f"no target {name!r} beside {', '.join(targets)}",
                allowed="cells with weight_ih (G H, F), weight_hh (G H, H) and bias_ih (G H,), all three "
                "expressed, such as those of the architectures rnn, gru and lstm",
            )
        return targets[name]

    def express(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self.weights, strict=True))

    def begin(self, cell: str, batch_size: int) -> Any:
        writer = cast("HyperWriter", self.writers[self._places[cell][0]])
        return writer.cell.begin(writer.z_bias.new_empty(batch_size, 0))

    def express_at(
        self, cell: str, x: Tensor, hidden: Tensor | None, state: Any
    ) -> tuple[dict[str, genophen.Written], Any]:
        index, of_x, of_h = self._places[cell]
        base = self.express()
        if hidden is None:
            hidden = x.new_zeros(len(x), base[of_h].shape[1])
        (rows_h, rows_x, bias), state = self.writers[index](torch.cat([hidden, x], 1), state)
        bias_name = of_x.replace("weight_ih", "bias_ih")
        return {
            of_h: genophen.Scaled(base[of_h], rows_h),
            of_x: genophen.Scaled(base[of_x], rows_x),
            bias_name: base[bias_name] + bias,
        }, state

    def run_sequence(
        self, cell: str, steps: genophen.CellSteps, x: Tensor, carried: Any, state: Any
    ) -> tuple[Tensor, Any, Any] | None:
        main, writer = steps.module, cast("HyperWriter", self.writers[self._places[cell][0]])
        # The gradient of other cells is not written out, nor in lower precision.
        if (
            type(main) is not LSTMCell
            or type(writer.cell) is not LSTMCell
            or (torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type))
        ):
            return None
        _, of_x, of_h = self._places[cell]
        base = self.express()
        weights = [base[of_h], base[of_x], base[of_x.replace("weight_ih", "bias_ih")]]
        return writer.all_steps(main, weights, x, carried or main.begin(x[:, 0]), state)

    def pictured(self, cell: str, state: Any) -> dict[str, Tensor]:
        """The z's that come from this state, less those that they start at."""
        writer = cast("HyperWriter", self.writers[self._places[cell][0]])
        names = ("z of the scales of h", "z of the scales of x", "z of the biases")
        z_h, z_x, z_b = writer.z(state[0]).chunk(_PARTS, 1)
        return dict(zip(names, (z_h - 1, z_x - 1, z_b), strict=True))

    def genes(self, scope: str) -> list[str]:
        names = [name for name, _ in self.named_parameters()]
        if scope == "genotype":
            return names
        if scope == "generator":
            return [name for name in names if name.startswith("writers.")]
        raise genophen.no_genes(self, scope)


class HyperLSTM(HyperRecurrent):
    name = "hyper-lstm"
    description = "an LSTM that rescales a recurrent network's weights at every step (Ha et al. 2016)"
    kind = LSTMCell


class HyperRNN(HyperRecurrent):
    name = "hyper-rnn"
    description = "the same with a plain recurrent cell as the small one"
    kind = RNNCell


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    for cls in (HyperLSTM, HyperRNN):
        register(cls)

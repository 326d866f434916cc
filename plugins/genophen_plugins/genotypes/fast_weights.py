"""Fast weights: a slow network that writes changes of a fast one's matrix at every time step.

Schmidhuber 1992, "Learning to control fast-weight memories"; the delta rule is that of Schlag et al. 2021,
"Linear transformers are secretly fast weight programmers".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen_plugins.architectures.cells import LSTMCell


class FastWeightOptions(genophen.Options):
    rule: Literal["additive", "delta"] = Field(
        "delta",
        description="'additive': W + rate v k^T; 'delta': W + rate (v - W k) k^T, which replaces what the "
        "key k was bound to",
    )
    heads: int = Field(
        1, ge=1, le=1024, description="blocks on the matrix's diagonal, each with its own keys"
    )
    decay: float = Field(1.0, gt=0, le=1, description="factor of the matrix at every step")
    key_activation: Literal["identity", "normalized", "softmax"] = Field(
        "normalized",
        description="what a key goes through: 'identity', 'normalized' to length 1, or 'softmax'",
    )
    write_rate: Literal["constant", "gated"] = Field(
        "gated", description="'constant': 1; 'gated': between 0 and 1, from the input"
    )
    slow_units: int = Field(
        0,
        ge=0,
        le=65_536,
        description="units of an LSTM that the slow network begins with, so that what it writes depends on "
        "earlier inputs, too; 0: on the present one alone",
    )


class Writing(NamedTuple):
    """What is written into the matrices, at one step (N, ...) or at many (N, T, ...)."""

    #: (..., heads, C_in / heads)
    key: Tensor
    #: (..., heads, C_out / heads)
    value: Tensor
    #: (..., heads), or None where it is 1.
    rate: Tensor | None


class SlowNetwork(nn.Module):
    """Keys, values and rates for one fast matrix (C_out, C_in), from what its cell reads, (N, C_in)."""

    def __init__(
        self, target: genophen.Target, options: FastWeightOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        c_out, c_in = target.shape
        self._options, heads = options, options.heads
        seen = options.slow_units or c_in
        draws = torch.randn(c_in + c_out, seen, generator=generator) * seen**-0.5
        self.key_weight = nn.Parameter(draws[:c_in].clone())
        self.value_weight = nn.Parameter(draws[c_in:].clone())
        self.rate_weight = nn.Parameter(torch.zeros(heads, seen))
        self.rate_bias = nn.Parameter(torch.zeros(heads))
        #: What every sequence starts with; one block a head.
        self.first = nn.Parameter(torch.zeros(heads, c_out // heads, c_in // heads))
        self.cell = LSTMCell.drawn(c_in, seen, generator) if options.slow_units else None

    def begin(self, batch_size: int) -> Any:
        """The matrix (N, heads, C_out / heads, C_in / heads), and the LSTM's state if there is one."""
        matrix = self.first.expand(batch_size, -1, -1, -1)
        return matrix if self.cell is None else (matrix, self.cell.begin(matrix))

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The matrix after this step's change, and the state."""
        if self.cell is None:
            matrix = self.changed(state, self.writing(x))
            return matrix, matrix
        matrix, carried = state
        seen, carried = self.cell(x, carried)
        matrix = self.changed(matrix, self.writing(seen))
        return matrix, (matrix, carried)

    def all_steps(self, x: Tensor, state: Any) -> tuple[Iterator[Tensor], Any]:
        """The matrices of all steps, one after the other, for x (N, T, C_in), and the LSTM's last state."""
        matrix, carried = (state, None) if self.cell is None else state
        if self.cell is not None:
            x, carried = self.cell.sequence(x, carried)
        writing = self.writing(x)
        rates = [None] * x.shape[1] if writing.rate is None else writing.rate.unbind(1)
        steps = map(Writing, writing.key.unbind(1), writing.value.unbind(1), rates)
        return itertools.islice(itertools.accumulate(steps, self.changed, initial=matrix), 1, None), carried

    def writing(self, seen: Tensor) -> Writing:
        """From the inputs, or what the LSTM gives, (..., units)."""
        heads = self._options.heads
        key = F.linear(seen, self.key_weight).unflatten(-1, (heads, -1))
        value = F.linear(seen, self.value_weight).unflatten(-1, (heads, -1))
        if self._options.key_activation == "normalized":
            key = F.normalize(key, dim=-1)
        elif self._options.key_activation == "softmax":
            key = key.softmax(-1)
        gated = self._options.write_rate == "gated"
        rate = F.linear(seen, self.rate_weight, self.rate_bias).sigmoid() if gated else None
        return Writing(key, value, rate)

    def changed(self, matrix: Tensor, writing: Writing) -> Tensor:
        """The matrix (N, heads, o, i) after one step's change."""
        key, value = writing.key[..., None], writing.value[..., None]  # (N, heads, i, 1), (N, heads, o, 1)
        if self._options.rule == "delta":
            value = value - torch.matmul(matrix, key)
        if writing.rate is not None:
            value = value * writing.rate[:, :, None, None]
        kept = matrix if self._options.decay == 1 else self._options.decay * matrix
        return torch.addcmul(kept, value, key.mT)


class FastWeights(genophen.DynamicGenotype):
    """Matrices that start alike for all samples and are changed by one outer product a head and step."""

    name = "fast-weights"
    description = (
        "a slow network that writes rank-one changes of the weights at every step (Schmidhuber 1992)"
    )
    Options: ClassVar[type[genophen.Options]] = FastWeightOptions

    def __init__(
        self, options: FastWeightOptions, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self._heads = options.heads
        weights = {name: target for name, target in targets.items() if not target.is_bias}
        for target in weights.values():
            self._check(target)
        self._index = {name: index for index, name in enumerate(weights)}
        self.slow = nn.ModuleList(SlowNetwork(t, options, generator) for t in weights.values())

    def _check(self, target: genophen.Target) -> None:
        heads = self._heads
        if len(target.shape) != 2 or target.shape[0] % heads or target.shape[1] % heads:
            raise genophen.ConfigError(
                f"cannot write {target.name} with the genotype {self.name}",
                found=f"shape {target.shape} and {heads} heads",
                allowed="matrices whose two sides divide by the heads, in cells that read as many numbers as "
                "the matrix does, such as those of the architecture fast-weight-network",
            )

    def _slow(self, name: str) -> SlowNetwork:
        return cast("SlowNetwork", self.slow[self._index[name]])

    def express(self) -> dict[str, Tensor]:
        return {name: torch.block_diag(*self._slow(name).first) for name in self._index}

    def begin(self, cell: str, batch_size: int) -> Any:
        return {
            name: self._slow(name).begin(batch_size)
            for name in self._index
            if name.rpartition(".")[0] == cell
        }

    def express_at(
        self, cell: str, x: Tensor, hidden: Tensor | None, state: Any
    ) -> tuple[dict[str, genophen.Written], Any]:
        after = {name: self._slow(name).step(x, own) for name, own in state.items()}
        written = {name: genophen.PerSample(matrix) for name, (matrix, _) in after.items()}
        return dict(written), {name: own for name, (_, own) in after.items()}

    def run_sequence(
        self, cell: str, steps: genophen.CellSteps, x: Tensor, carried: Any, state: Any
    ) -> tuple[Tensor, Any, Any]:
        ways = {name: self._slow(name).all_steps(x, own) for name, own in state.items()}
        outputs, matrices = [], dict.fromkeys(ways, x)
        for x_t in x.unbind(1):
            matrices = {name: next(each) for name, (each, _) in ways.items()}
            written = {name: genophen.PerSample(matrix) for name, matrix in matrices.items()}
            output, carried = steps.step(written, x_t, carried)
            outputs.append(output)
        after = {
            name: matrices[name] if last is None else (matrices[name], last)
            for name, (_, last) in ways.items()
        }
        return torch.stack(outputs, 1), carried, after

    def genes(self, scope: str) -> list[str]:
        if scope == "embeddings":
            raise genophen.no_genes(self, scope)
        return [name for name, _ in self.named_parameters() if scope == "genotype" or "first" not in name]


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(FastWeights)

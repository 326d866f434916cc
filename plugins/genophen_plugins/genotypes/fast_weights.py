"""Fast weights: a slow network that writes changes of a fast one's matrix at every time step.

Schmidhuber 1992, "Learning to control fast-weight memories"; the delta rule is that of Schlag et al. 2021,
"Linear transformers are secretly fast weight programmers".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen_plugins.architectures.cells import LSTMCell
from genophen_plugins.genotypes.fast_weights_in_numbers import fast_weights_in_numbers

Decay = Annotated[float, Field(gt=0, le=1)]


class FastWeightOptions(genophen.Options):
    rule: Literal["additive", "delta"] = Field(
        "delta",
        description="'additive': W + rate v k^T; 'delta': W + rate (v - W k) k^T, which replaces what the "
        "key k was bound to",
    )
    heads: int = Field(
        1, ge=1, le=1024, description="blocks on the matrix's diagonal, each with its own keys"
    )
    decay: Decay | Literal["learned"] = Field(
        1.0,
        description="factor of the matrix at every step; 'learned': one a head, which starts at a half",
    )
    decay_to: Literal["zero", "start"] = Field(
        "zero",
        description="what decay leads to: 'zero', or the matrix that every sequence starts with, so that "
        "only what was written passes",
    )
    values: Literal["input", "hidden"] = Field(
        "input",
        description="what is written comes from: what the cell reads, or what it carries from the step "
        "before, in cells that carry as many numbers as they give",
    )
    key: Literal["input", "constant"] = Field(
        "input", description="what a key comes from: the input at every step, or a learned vector"
    )
    written: Literal["all", "last"] = Field(
        "all",
        description="which inputs' weights are written: 'all', by keys, or those of the 'last' input alone, "
        "a constant one: a bias is written, without keys, and no other weight depends on that input",
    )
    order: Literal["write-read", "read-write"] = Field(
        "write-read", description="whether the network answers after or before a step's change is written"
    )
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

    @model_validator(mode="after")
    def _one_bias_is_written_from_what_is_seen(self) -> FastWeightOptions:
        if self.written == "last" and (self.heads > 1 or self.slow_units):
            raise ValueError("written = 'last' with one head and without slow_units")
        return self


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
        last = options.written == "last"
        if last:
            pass  # what is written is that input's
        elif options.key == "input":
            self.key_weight = nn.Parameter(draws[:c_in].clone())
        else:
            self.key = nn.Parameter(draws[:c_in, 0].clone())
        if options.values == "hidden":
            self.value_weight = nn.Parameter(torch.randn(c_out, c_out, generator=generator) * c_out**-0.5)
        else:
            self.value_weight = nn.Parameter(draws[c_in:, : seen - last].clone())
        self.rate_weight = nn.Parameter(torch.zeros(heads, seen))
        self.rate_bias = nn.Parameter(torch.zeros(heads))  # there also where all rates are 1
        if options.decay == "learned":
            self.decay = nn.Parameter(torch.zeros(heads))
        #: What every sequence starts with; one block a head.
        self.first = nn.Parameter(torch.zeros(heads, c_out // heads, c_in // heads - last))
        self.cell = LSTMCell.drawn(c_in, seen, generator) if options.slow_units else None

    def start(self) -> Tensor:
        """The matrix that every sequence starts with, (heads, C_out / heads, C_in / heads)."""
        return F.pad(self.first, (0, 1)) if self._options.written == "last" else self.first

    def begin(self, batch_size: int) -> Any:
        """The matrix (N, heads, C_out / heads, C_in / heads), and the LSTM's state if there is one."""
        matrix = self.start().expand(batch_size, -1, -1, -1)
        return matrix if self.cell is None else (matrix, self.cell.begin(matrix))

    def step(self, x: Tensor, hidden: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """The matrix that this step reads, and the state after its change."""
        if self.cell is None:
            after = self.changed(state, self.writing(x, hidden))
            return self.read(state, after), after
        before, carried = state
        seen, carried = self.cell(x, carried)
        after = self.changed(before, self.writing(seen, hidden))
        return self.read(before, after), (after, carried)

    def read(self, before: Tensor, after: Tensor) -> Tensor:
        """The matrix that a step reads, of those before and after its change."""
        return after if self._options.order == "write-read" else before

    def all_steps(self, x: Tensor, state: Any) -> tuple[Iterator[Tensor], Any]:
        """The first matrix, those after each step of x (N, T, C_in), in turn, and the LSTM's last state."""
        matrix, carried = (state, None) if self.cell is None else state
        if self.cell is not None:
            x, carried = self.cell.sequence(x, carried)
        writing = self.writing(x)
        rates = [None] * x.shape[1] if writing.rate is None else writing.rate.unbind(1)
        steps = map(Writing, writing.key.unbind(1), writing.value.unbind(1), rates)
        return itertools.accumulate(steps, self.changed, initial=matrix), carried

    def writing(self, seen: Tensor, hidden: Tensor | None = None) -> Writing:
        """From the inputs, or what the LSTM gives, (..., units), and what the cell carries, (..., C_out)."""
        heads, read = self._options.heads, seen
        if self._options.written == "last":
            key = torch.zeros_like(seen).index_fill(-1, torch.tensor(-1, device=seen.device), 1)
            key, read = key.unflatten(-1, (heads, -1)), seen[..., :-1]
        elif self._options.key == "constant":
            key = self.key.expand(*seen.shape[:-1], -1).unflatten(-1, (heads, -1))
        else:
            key = F.linear(seen, self.key_weight).unflatten(-1, (heads, -1))
        if self._options.values == "hidden":
            read = seen.new_zeros(*seen.shape[:-1], self.value_weight.shape[1]) if hidden is None else hidden
        value = F.linear(read, self.value_weight).unflatten(-1, (heads, -1))
        if self._options.written == "all":
            key = self.activated(key)
        gated = self._options.write_rate == "gated"
        rate = F.linear(seen, self.rate_weight, self.rate_bias).sigmoid() if gated else None
        return Writing(key, value, rate)

    def activated(self, key: Tensor) -> Tensor:
        if self._options.key_activation == "normalized":
            return F.normalize(key, dim=-1)
        return key.softmax(-1) if self._options.key_activation == "softmax" else key

    def changed(self, matrix: Tensor, writing: Writing) -> Tensor:
        """The matrix (N, heads, o, i) after one step's change."""
        key, value = writing.key[..., None], writing.value[..., None]  # (N, heads, i, 1), (N, heads, o, 1)
        if self._options.rule == "delta":
            value = value - torch.matmul(matrix, key)
        if writing.rate is not None:
            value = value * writing.rate[:, :, None, None]
        return torch.addcmul(self.kept(matrix), value, key.mT)

    def kept(self, matrix: Tensor) -> Tensor:
        """What decay leaves of the matrix."""
        decay: Any = self._options.decay
        if decay == "learned":
            decay = self.decay.sigmoid()[:, None, None]
        elif decay == 1:
            return matrix
        if self._options.decay_to == "start":
            start = self.start()
            return start + decay * (matrix - start)
        kept: Tensor = decay * matrix
        return kept


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
        self._options, self._heads = options, options.heads
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
        return {name: torch.block_diag(*self._slow(name).start()) for name in self._index}

    def begin(self, cell: str, batch_size: int) -> Any:
        return {
            name: self._slow(name).begin(batch_size)
            for name in self._index
            if name.rpartition(".")[0] == cell
        }

    def express_at(
        self, cell: str, x: Tensor, hidden: Tensor | None, state: Any
    ) -> tuple[dict[str, genophen.Written], Any]:
        after = {name: self._slow(name).step(x, hidden, own) for name, own in state.items()}
        written = {name: genophen.PerSample(matrix) for name, (matrix, _) in after.items()}
        return dict(written), {name: own for name, (_, own) in after.items()}

    def run_sequence(
        self, cell: str, steps: genophen.CellSteps, x: Tensor, carried: Any, state: Any
    ) -> tuple[Tensor, Any, Any] | None:
        if self._options.values == "hidden":
            return None  # a step's values are known once the one before is over
        ways = {name: self._slow(name).all_steps(x, own) for name, own in state.items()}
        outputs, matrices = [], {name: next(each) for name, (each, _) in ways.items()}
        for x_t in x.unbind(1):
            before, matrices = matrices, {name: next(each) for name, (each, _) in ways.items()}
            read = {name: self._slow(name).read(before[name], matrices[name]) for name in ways}
            written = {name: genophen.PerSample(matrix) for name, matrix in read.items()}
            output, carried = steps.step(written, x_t, carried)
            outputs.append(output)
        after = {
            name: matrices[name] if last is None else (matrices[name], last)
            for name, (_, last) in ways.items()
        }
        return torch.stack(outputs, 1), carried, after

    def numeric(self, network: nn.Module) -> Callable[..., Any] | None:
        """The same in numbers, of a network that says what its one cell reads; None for others."""
        options = self._options
        if options.heads > 1 or options.slow_units or len(self._index) > 1 or not hasattr(network, "reads"):
            return None
        return partial(fast_weights_in_numbers, options, network)

    def pictured(self, cell: str, state: Any) -> dict[str, Tensor]:
        """The fast matrices, (N, C_out, C_in)."""
        matrices = {}
        for name, own in state.items():
            blocks = own if self._slow(name).cell is None else own[0]  # (N, heads, o, i)
            matrices[name.rpartition(".")[2]] = torch.stack([torch.block_diag(*each) for each in blocks])
        return matrices

    def genes(self, scope: str) -> list[str]:
        if scope == "embeddings":
            raise genophen.no_genes(self, scope)
        unused = "rate_" if self._options.write_rate == "constant" else " "
        names = [name for name, _ in self.named_parameters() if unused not in name]
        return [name for name in names if scope == "genotype" or "first" not in name]


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(FastWeights)

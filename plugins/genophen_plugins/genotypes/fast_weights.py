"""Fast weights: a slow network that writes changes of a fast one's matrix at every time step.

Schmidhuber 1992, "Learning to control fast-weight memories"; the delta rule is that of Schlag et al. 2021,
"Linear transformers are secretly fast weight programmers".
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import genophen


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


class SlowNetwork(nn.Module):
    """Keys, values and rates for one fast matrix (C_out, C_in), from what its cell reads, (N, C_in)."""

    def __init__(self, target: genophen.Target, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        c_out, c_in = target.shape
        draws = torch.randn(c_in + c_out, c_in, generator=generator) * c_in**-0.5
        self.key_weight = nn.Parameter(draws[:c_in].clone())
        self.value_weight = nn.Parameter(draws[c_in:].clone())
        self.rate_weight = nn.Parameter(torch.zeros(heads, c_in))
        self.rate_bias = nn.Parameter(torch.zeros(heads))
        #: What every sequence starts with; one block a head.
        self.first = nn.Parameter(torch.zeros(heads, c_out // heads, c_in // heads))


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
        self._options = options
        weights = {name: target for name, target in targets.items() if not target.is_bias}
        for target in weights.values():
            self._check(target)
        self._index = {name: index for index, name in enumerate(weights)}
        self.slow = nn.ModuleList(SlowNetwork(t, options.heads, generator) for t in weights.values())

    def _check(self, target: genophen.Target) -> None:
        heads = self._options.heads
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
            name: self._slow(name).first.expand(batch_size, -1, -1, -1)  # (N, heads, C_out / h, C_in / h)
            for name in self._index
            if name.rpartition(".")[0] == cell
        }

    def express_at(
        self, cell: str, x: Tensor, hidden: Tensor | None, state: Any
    ) -> tuple[dict[str, genophen.Written], Any]:
        after = {name: self._rewritten(self._slow(name), x, matrix) for name, matrix in state.items()}
        return {name: genophen.PerSample(matrix) for name, matrix in after.items()}, after

    def _rewritten(self, slow: SlowNetwork, x: Tensor, matrix: Tensor) -> Tensor:
        """The matrix (N, heads, o, i) after this step's change."""
        options = self._options
        key = self._key(F.linear(x, slow.key_weight).view(len(x), options.heads, -1, 1))  # (N, heads, i, 1)
        value = F.linear(x, slow.value_weight).view(len(x), options.heads, -1, 1)  # (N, heads, o, 1)
        if options.rule == "delta":
            value = value - torch.matmul(matrix, key)
        if options.write_rate == "gated":
            rate = F.linear(x, slow.rate_weight, slow.rate_bias).sigmoid()  # (N, heads)
            value = value * rate[:, :, None, None]
        return options.decay * matrix + value * key.transpose(2, 3)

    def _key(self, key: Tensor) -> Tensor:
        if self._options.key_activation == "normalized":
            return F.normalize(key, dim=2)
        return key.softmax(2) if self._options.key_activation == "softmax" else key

    def genes(self, scope: str) -> list[str]:
        if scope == "embeddings":
            raise genophen.no_genes(self, scope)
        return [name for name, _ in self.named_parameters() if scope == "genotype" or "first" not in name]


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(FastWeights)

"""A chunked hypernetwork (von Oswald et al. 2020) with the start of Chang, Flokas & Lipson (2020).

The weights of each layer are cut into chunks of S numbers. Chunk c has an embedding z_c in R^{N_z}, and one
network with H hidden units writes all of them:

    chunk = W_2 relu(W_1 e(z_c) + b_1) + b_2        W_1 (H, N_e), W_2 (S, H)

Plain, e(z) = z. The magnitude-invariant form (Ortiz, Guttag & Dalca 2023) has e(z) = [cos(pi z / 2), sin(pi z
/ 2)]: its length is the same whatever z, so that the scale of the weights does not follow that of the
embedding.

The start is "hyperfan-in": W_2 is scaled for what it writes, so that each layer of the main network begins
with variance 2 / fan_in, as under He's initialisation. All layers share W_2, which is therefore drawn for
variance 1, and a layer's factor sqrt(2 / fan_in) is applied to what is written.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import genophen
from genophen_plugins.genotypes.scaling import scaled


class MLPHypernetworkOptions(genophen.KernelOptions):
    embedding_dim: int = Field(8, ge=1, le=1024, description="N_z, numbers in the embedding of each chunk")
    hidden_units: int = Field(32, ge=1, le=65_536, description="H, hidden units of the network")
    chunk_size: int = Field(64, ge=1, le=2**20, description="S, weights that one embedding stands for")
    encoding: Literal["plain", "magnitude-invariant"] = Field(
        "plain",
        description="how the network reads an embedding; 'magnitude-invariant': its cosines and sines, whose "
        "length is always the same",
    )


class MLPHypernetwork(genophen.Genotype):
    """Writes the weights of all layers in chunks, with one network of one hidden layer."""

    name = "mlp-hypernetwork"
    description = "a network of one hidden layer shared by all layers, one embedding a chunk of weights"
    Options: ClassVar[type[genophen.Options]] = MLPHypernetworkOptions

    def __init__(
        self, options: MLPHypernetworkOptions, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.standardized = options.normalization == "standardized"
        self.periodic = options.encoding == "magnitude-invariant"
        self._targets = [target for target in targets.values() if not target.is_bias]
        chunk, hidden, n_z = options.chunk_size, options.hidden_units, options.embedding_dim
        self._chunks = [math.ceil(math.prod(target.shape) / chunk) for target in self._targets]
        embeddings = torch.empty(sum(self._chunks), n_z)
        if self.periodic:  # every angle is as likely
            embeddings.uniform_(-2, 2, generator=generator)
        else:
            embeddings.normal_(generator=generator)
        self.embeddings = nn.Parameter(embeddings)
        # |e(z)|^2 is N_z either way, on average or always: hidden units get variance 2, and their squares,
        # half of which the relu leaves, are 1 on average.
        inputs = 2 * n_z if self.periodic else n_z
        weight_in = torch.randn(hidden, inputs, generator=generator) * math.sqrt(2 / n_z)
        self.weight_in, self.bias_in = nn.Parameter(weight_in), nn.Parameter(torch.zeros(hidden))
        weight_out = torch.randn(chunk, hidden, generator=generator) * math.sqrt(1 / hidden)
        self.weight_out, self.bias_out = nn.Parameter(weight_out), nn.Parameter(torch.zeros(chunk))
        self.biases = genophen.ConvBiases(targets.values(), options.conv_bias)

    def express(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.biases()
        hidden = F.relu(F.linear(self._encoded(), self.weight_in, self.bias_in))  # (E, H)
        chunks = F.linear(hidden, self.weight_out, self.bias_out)  # (E, S)
        for target, own in zip(self._targets, chunks.split(self._chunks), strict=True):
            values = own.flatten()[: math.prod(target.shape)]
            weights[target.name] = scaled(target, values, self.standardized)
        return weights

    def genes(self, scope: str) -> list[str]:
        names = [name for name, _ in self.named_parameters()]
        if scope == "genotype":
            return names
        if scope == "embeddings":
            return ["embeddings"]
        if scope != "generator":
            raise genophen.no_genes(self, scope)
        return [name for name in names if name != "embeddings" and not name.startswith("biases.")]

    def _encoded(self) -> Tensor:
        """What the network reads, (E, N_e)."""
        if not self.periodic:
            return self.embeddings
        angles = self.embeddings * (math.pi / 2)
        return torch.cat([angles.cos(), angles.sin()], dim=1)


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(MLPHypernetwork)

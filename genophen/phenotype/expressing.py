"""What several genotypes share: kernels of a fixed scale, and the biases of expressed convolutions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from genophen.contracts.genotype import Target
from genophen.contracts.options import Options

#: Keeps a kernel without any variation finite when it is standardised: a share of its mean square.
EPSILON = 1e-8
#: Numbers below this are none: a channel of nothing else has no scale to be measured by.
SMALLEST = 1e-18
CONV_BIASES = ("conv-bias", "transposed-bias")


class KernelOptions(Options):
    """Settings of a genotype that writes convolution kernels."""

    normalization: Literal["standardized", "none"] = Field(
        "standardized",
        description="'standardized': each output channel of a kernel has mean 0 and variance 2 / fan_in, "
        "without any further parameter; 'none': kernels as generated, at the genotype's own scale",
    )
    conv_bias: bool = Field(
        False, description="free biases of the expressed convolutions, as kernel parameters; false: held at 0"
    )


def standardize(weight: Tensor, fan_in: int | None = None) -> Tensor:
    """The weight with mean 0 and variance 2 / fan_in in each output channel, and nothing learned.

    Shape (C_out, ...) to the same shape; fan_in = weight[0].numel() unless given. The scale of a channel does
    not matter; one without any variation becomes zeros. A single number has no deviation: it is scaled to
    sqrt(2 / fan_in) and keeps its sign.
    """
    rows = weight.reshape(len(weight), -1)  # (C_out, numbers)
    numbers = rows.shape[1]
    scale = rows.detach().square().mean(1, keepdim=True).sqrt()  # (C_out, 1)
    rows = rows / torch.where(scale > SMALLEST, scale, 1.0)
    gain = rows.new_full((numbers,), math.sqrt(2 / (numbers if fan_in is None else fan_in)))
    normalize = F.layer_norm if numbers > 1 else F.rms_norm
    return normalize(rows, (numbers,), weight=gain, eps=EPSILON).reshape(weight.shape)


def kernel_gain(mean: Tensor, variance: Tensor, fan_in: int) -> Tensor:
    """The factor that brings numbers of a mean and variance to variance 2 / fan_in, as in `standardize`."""
    squares = (mean.square() + variance).detach()
    least = EPSILON * torch.where(squares > SMALLEST**2, squares, 1.0)
    return (variance + least).rsqrt() * math.sqrt(2 / fan_in)


class ConvBiases(nn.Module):
    """The biases of the expressed convolutions among `targets`: parameters where they are free, else zeros.

    Called, it gives them by target name, as `Genotype.express` does.
    """

    def __init__(self, targets: Iterable[Target], free: bool) -> None:
        super().__init__()
        biases = [target for target in targets if target.kind in CONV_BIASES]
        self._attributes = {target.name: f"bias_{index}" for index, target in enumerate(biases)}
        for target in biases:
            zeros, attribute = torch.zeros(target.shape), self._attributes[target.name]
            if free:
                self.register_parameter(attribute, nn.Parameter(zeros))
            else:
                self.register_buffer(attribute, zeros, persistent=False)

    def forward(self) -> dict[str, Tensor]:
        return {name: getattr(self, attribute) for name, attribute in self._attributes.items()}

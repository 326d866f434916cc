"""Kernels from coordinates: a compositional pattern-producing network (Stanley 2007) writes every weight.

Each weight is a function of where it is: the layer l, the output and input channel o and i, the row y and
column x in the kernel, and the distance r from the kernel's middle. With H hidden units f_j,

    w(l, o, i, y, x, r) = sum_j v_j f_j(W_j [l, o, i, y, x, r] + b_j)

and further hidden layers, if any, between the two. Evolved, this is HyperNEAT (Stanley et al. 2009) with a
fixed topology; trained by gradient descent, a differentiable one (DPPN, Fernando et al. 2016).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import genophen

#: Channels, or layers, to one unit of their coordinates. Coordinates that end at -1 and 1 whatever the width
#: would make neighbouring kernels of a wide layer much alike.
CHANNELS = 8
#: Hidden activations that are kept for the gradient at once, 16 MiB: larger kernels are computed in parts.
MAX_ACTIVATIONS = 2**22


class CPPNOptions(genophen.KernelOptions):
    hidden_units: int = Field(
        16,
        ge=4,
        le=1024,
        multiple_of=4,
        description="H, units of a hidden layer: as many sin, cos, Gaussian and tanh",
    )
    hidden_layers: int = Field(
        2, ge=1, le=16, description="hidden layers; with one, the kernels are combinations of few patterns"
    )
    channel_scale: float = Field(
        20.0,
        ge=0,
        le=1e6,
        description="initial deviation of the weights from the layer and channel coordinates: the larger, "
        "the more the kernels of neighbouring channels differ",
    )
    spatial_scale: float = Field(
        1.0,
        ge=0,
        le=1e6,
        description="initial deviation of the weights from the coordinates within a kernel: the smaller, the "
        "smoother the kernels",
    )


class CPPN(genophen.Genotype):
    """Writes the weights of all layers with one network.

    A dense weight after a flatten is placed by the channel, row and column of the feature map that its input
    is; any other has its input's index for a channel, and y = x = r = 0.
    """

    name = "cppn"
    description = "a small network of mixed activations that maps a weight's coordinates to its value"
    Options: ClassVar[type[genophen.Options]] = CPPNOptions

    def __init__(
        self, options: CPPNOptions, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.standardized = options.normalization == "standardized"
        self._targets = [target for target in targets.values() if not target.is_bias]
        units, hidden = options.hidden_units, options.hidden_layers - 1
        depth = any(len(target.kernel_shape) > 4 for target in self._targets)
        scales = torch.tensor([options.channel_scale] * 3 + [options.spatial_scale] * (3 + depth))

        def normal(*shape: int, variance: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator) * math.sqrt(variance))

        # l, o, i, y, x, r and, where a kernel has three axes, its depth.
        self.weight_in = nn.Parameter(torch.randn(units, 6 + depth, generator=generator) * scales)
        self.bias_in = nn.Parameter((2 * torch.rand(units, generator=generator) - 1) * math.pi)
        self.hidden_weights = nn.ParameterList(
            normal(units, units, variance=4 / units) for _ in range(hidden)
        )
        self.hidden_biases = nn.ParameterList(normal(units, variance=1) for _ in range(hidden))
        # The squares of these activations are 1/2 on average, so that the sum starts at variance 1.
        self.weight_out = normal(units, variance=2 / units)
        self.biases = genophen.ConvBiases(targets.values(), options.conv_bias)

    def express(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.biases()
        for target in self._targets:
            kernel = self._kernel(target)
            if self.standardized and target.kind != "scale":
                kernel = genophen.standardize(kernel, target.fan_in)
            else:
                kernel = kernel * math.sqrt(2 / target.fan_in)
            weights[target.name] = target.from_kernel(kernel)
        return weights

    def genes(self, scope: str) -> list[str]:
        names = [name for name, _ in self.named_parameters()]
        if scope == "genotype":
            return names
        if scope == "generator":
            return [name for name in names if not name.startswith("biases.")]
        raise genophen.no_genes(self, scope)

    def _kernel(self, target: genophen.Target) -> Tensor:
        """The values of one target in its `kernel_shape`: gates are layers between this one and the next."""
        c_out, *rest = target.kernel_shape if target.image is None else (target.shape[0], *target.image)
        gates = [
            self._generate(
                (c_out // target.gates, *rest), (target.layer_index + gate / target.gates) / CHANNELS
            )
            for gate in range(target.gates)
        ]
        return (gates[0] if len(gates) == 1 else torch.cat(gates)).view(target.kernel_shape)

    def _generate(self, shape: tuple[int, ...], layer: float) -> Tensor:
        """The values of one kernel of shape (C_out, C_in, *size), as (C_out, C_in numbers).

        The first layer is affine: its answer to a weight's coordinates is the sum of those to the output
        channel and to all else, and no table of every weight's coordinates is built.
        """
        c_out, c_in, *size = shape
        depth, kh, kw = (1, 1, 1, *size)[-3:]
        z, y, x = torch.meshgrid(*(self._axis(n, n / 2) for n in (depth, kh, kw)), indexing="ij")
        distance = (z.square() + y.square() + x.square()).sqrt()
        axes = self.weight_in.shape[1] - 3  # the depth z is one where any kernel has three axes
        places = torch.stack([y, x, distance, z][:axes]).flatten(1)  # (axes, numbers)
        of_layer, of_output, of_input, of_place = self.weight_in.split([1, 1, 1, axes], dim=1)
        outputs = of_layer * layer + of_output * self._axis(c_out, CHANNELS) + self.bias_in[:, None]
        channels = of_input * self._axis(c_in, CHANNELS)  # (H, C_in)
        inputs = (channels[:, :, None] + (of_place @ places)[:, None, :]).flatten(1)  # (H, C_in numbers)
        hidden = list(zip(self.hidden_weights, self.hidden_biases, strict=True))
        parts = outputs.split(max(1, MAX_ACTIVATIONS // inputs.numel()), dim=1)
        if len(parts) == 1:
            return _respond(outputs, inputs, hidden, self.weight_out)
        arguments = (inputs, hidden, self.weight_out)
        return torch.cat([checkpoint(_respond, part, *arguments, use_reentrant=False) for part in parts])

    def _axis(self, size: int, unit: float) -> Tensor:
        """Coordinates of `size` places, `unit` of them to 1, the middle at 0."""
        places = torch.arange(size, dtype=self.weight_in.dtype, device=self.weight_in.device)
        return (places - (size - 1) / 2) / unit


def _respond(
    outputs: Tensor, inputs: Tensor, hidden: list[tuple[Tensor, Tensor]], weight_out: Tensor
) -> Tensor:
    """The network's answers (A, B) where the first layer gets outputs (H, A) plus inputs (H, B)."""
    activations = _activate((outputs[:, :, None] + inputs[:, None, :]).flatten(1))  # (H, A B)
    for weight, bias in hidden:
        activations = _activate(torch.addmm(bias[:, None], weight, activations))
    return (weight_out @ activations).view(outputs.shape[1], inputs.shape[1])


def _activate(values: Tensor) -> Tensor:
    """A quarter of the units each: sine, cosine, Gaussian and hyperbolic tangent."""
    sine, cosine, gaussian, tangent = values.chunk(4)
    return torch.cat([sine.sin(), cosine.cos(), torch.exp(-gaussian.square()), tangent.tanh()])


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(CPPN)

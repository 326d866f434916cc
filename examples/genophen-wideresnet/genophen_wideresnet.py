"""Wide residual networks (Zagoruyko & Komodakis 2016) for 32x32 images in colour, as a genophen plugin.

WRN-d-k has d layers and k times the channels of the plain network. All its 3x3 kernels but the first are
written by the genotype, as in Ha, Dai & Le 2016, section 3; 1x1 shortcuts, batch norms and the dense layer
are trained directly.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator
from torch import Tensor, nn

import genophen


class PreActivationBlock(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution, twice, added to the input."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu(self.norm1(x))  # (N, C_in, H, W)
        residual = self.conv1(activated)  # (N, C_out, H / stride, W / stride)
        residual = self.conv2(self.relu(self.norm2(residual)))
        return residual + (x if self.shortcut is None else self.shortcut(activated))


class WideResNetOptions(genophen.Options):
    depth: int = Field(10, ge=10, le=100, description="layers: 10, 16, 22, 28, ... (6 n + 4)")
    widen_factor: int = Field(1, ge=1, le=20, description="k: the groups have 16 k, 32 k and 64 k channels")
    num_outputs: int = Field(10, ge=1, description="outputs of the dense layer")

    @field_validator("depth")
    @classmethod
    def _three_groups_of_equal_depth(cls, depth: int) -> int:
        if depth % 6 != 4:
            raise ValueError("6 n + 4: three groups of n blocks of two layers, and four layers beside them")
        return depth


class WideResNet(genophen.Architecture):
    name = "wide-resnet"
    description = "WRN-depth-widen_factor with pre-activation; every 3x3 kernel but the first is expressed"
    Options: ClassVar[type[genophen.Options]] = WideResNetOptions
    options: WideResNetOptions
    input_shape = (3, 32, 32)

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        return self.options.num_outputs

    def build(self) -> nn.Module:
        blocks_per_group, channels = (self.options.depth - 4) // 6, 16
        network = nn.Sequential()
        network.add_module("conv", nn.Conv2d(3, channels, 3, padding=1, bias=False))
        for group in (1, 2, 3):
            width = 8 * 2**group * self.options.widen_factor
            for index in range(blocks_per_group):
                stride = 2 if group > 1 and index == 0 else 1
                network.add_module(f"group{group}_{index}", PreActivationBlock(channels, width, stride))
                channels = width
        network.add_module("norm", nn.BatchNorm2d(channels))
        network.add_module("relu", nn.ReLU())
        network.add_module("pool", nn.AdaptiveAvgPool2d(1))  # from (N, 64 k, 8, 8)
        network.add_module("flatten", nn.Flatten())
        network.add_module("dense", nn.Linear(channels, self.num_outputs))
        return network

    def expressed(self) -> list[str]:
        return ["group*.conv?.weight"]


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    register(WideResNet)

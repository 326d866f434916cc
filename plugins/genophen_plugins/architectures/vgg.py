"""VGG networks of one to three blocks (Simonyan & Zisserman 2014), for 32x32 images in colour."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from pydantic import AliasChoices, Field
from torch import nn

import genophen


class VGGOptions(genophen.Options):
    num_outputs: int = Field(
        10,
        ge=1,
        le=32_768,
        validation_alias=AliasChoices("num_outputs", "num_classes"),  # the second: as of older configs
        description="outputs of the last dense layer",
    )
    block_dropout: float = Field(0.05, ge=0, lt=1, description="dropout after each block's pooling")
    dense_dropout: float = Field(0.2, ge=0, lt=1, description="dropout before the last dense layer")


class VGG(genophen.Architecture):
    """Pairs of 3x3 convolutions of 16, 32 and 64 channels; all kernels but the first are expressed."""

    Options: ClassVar[type[genophen.Options]] = VGGOptions
    options: VGGOptions
    input_shape = (3, 32, 32)
    num_blocks: ClassVar[int]

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        return self.options.num_outputs

    def build(self) -> nn.Module:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels, size = 3, 32
        for block in range(1, self.num_blocks + 1):
            width = 8 * 2**block
            for index in (1, 2):
                layers[f"conv{block}_{index}"] = nn.Conv2d(channels, width, kernel_size=3, padding=1)
                layers[f"relu{block}_{index}"] = nn.ReLU()
                channels = width
            layers[f"pool{block}"] = nn.MaxPool2d(2)  # (N, width, size / 2, size / 2)
            layers[f"dropout{block}"] = nn.Dropout(self.options.block_dropout)
            size //= 2
        layers["flatten"] = nn.Flatten()
        layers["dense1"] = nn.Linear(channels * size * size, 128)
        layers["relu_dense"] = nn.ReLU()
        layers["dropout_dense"] = nn.Dropout(self.options.dense_dropout)
        layers["dense2"] = nn.Linear(128, self.num_outputs)
        return nn.Sequential(layers)

    def expressed(self) -> list[str]:
        pairs = [f"conv{block}_{index}" for block in range(1, self.num_blocks + 1) for index in (1, 2)]
        return [f"{name}.weight" for name in pairs[1:]]


class VGGBlock1(VGG):
    name = "vgg-block1"
    description = "one block of two 3x3 convolutions (16 channels) and two dense layers (32x32, colour)"
    num_blocks = 1


class VGGBlock2(VGG):
    name = "vgg-block2"
    description = "two blocks of two 3x3 convolutions (16, 32 channels) and two dense layers (32x32, colour)"
    num_blocks = 2


class VGGBlock3(VGG):
    name = "vgg-block3"
    description = (
        "three blocks of two 3x3 convolutions (16, 32, 64 channels) and two dense layers (32x32, colour)"
    )
    num_blocks = 3


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    for cls in (VGGBlock1, VGGBlock2, VGGBlock3):
        register(cls)

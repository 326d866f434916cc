"""The two-layer network for MNIST (Ha et al. 2016, section 4.1)."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from pydantic import AliasChoices, Field
from torch import nn

import genophen


class MnistCNNOptions(genophen.Options):
    num_outputs: int = Field(
        10,
        ge=1,
        le=32_768,
        validation_alias=AliasChoices("num_outputs", "num_classes"),  # the second: as of older configs
        description="outputs of the last dense layer",
    )


class MnistCNN(genophen.Architecture):
    """Two 7x7 convolutions of 16 channels; the second one's kernel is expressed."""

    name = "mnist-cnn"
    description = "two 7x7 convolutions of 16 channels, each pooled, and a dense layer (28x28, grey)"
    Options: ClassVar[type[genophen.Options]] = MnistCNNOptions
    options: MnistCNNOptions
    input_shape = (1, 28, 28)

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        return self.options.num_outputs

    def build(self) -> nn.Module:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv1"] = nn.Conv2d(1, 16, kernel_size=7, padding=3)  # (N, 16, 28, 28)
        layers["relu1"] = nn.ReLU()
        layers["pool1"] = nn.MaxPool2d(2)  # (N, 16, 14, 14)
        layers["conv2"] = nn.Conv2d(16, 16, kernel_size=7, padding=3)
        layers["relu2"] = nn.ReLU()
        layers["pool2"] = nn.MaxPool2d(2)  # (N, 16, 7, 7)
        layers["flatten"] = nn.Flatten()
        layers["dense"] = nn.Linear(16 * 7 * 7, self.num_outputs)
        return nn.Sequential(layers)

    def expressed(self) -> list[str]:
        return ["conv2.weight"]


@genophen.hookimpl
def register_architectures(register):  # type: ignore[no-untyped-def]
    register(MnistCNN)

"""A plugin file with a small network, of before there were tasks and of today."""

from torch import nn

import genophen


class Small(genophen.Architecture):
    name = "small"
    description = "one convolution"
    input_shape = (1, 8, 8)
    num_classes = num_outputs = 10

    def build(self):
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(16, 10))

    def expressed(self):
        return ["0.weight"]


@genophen.hookimpl
def register_architectures(register):
    register(Small)

"""A plugin file whose network has every kind of state: buffers, one of them not saved, and random draws."""

import random

import numpy as np
import torch
from torch import nn

import genophen


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, stride=2)
        self.third = nn.Conv2d(6, 6, 3, padding=1)  # direct, so that its moments follow its order in memory
        self.dense = nn.Linear(6 * 16, 10)
        self.register_buffer("drift", torch.zeros(()), persistent=False)

    def forward(self, images):
        hidden = self.norm(self.conv(images)).relu()
        if self.training:
            self.drift += 0.01
            hidden = hidden * (1 + 0.01 * (random.random() + float(np.random.rand())))
            hidden = nn.functional.dropout(hidden, 0.1)
        hidden = self.third(self.second(hidden).relu()).relu().flatten(1)
        return self.dense(hidden) + self.drift


class Noisy(genophen.Architecture):
    name = "noisy"
    description = "draws from every generator"
    input_shape = (1, 12, 12)
    num_outputs = 10

    def build(self):
        return Net()

    def expressed(self):
        return ["second.weight"]


@genophen.hookimpl
def register_architectures(register):
    register(Noisy)

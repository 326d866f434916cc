"""Architectures: what builds a main network and says which of its parameters a genotype writes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch

from genophen.contracts.options import Options as AnyOptions
from genophen.contracts.options import shown

if TYPE_CHECKING:
    from torch import nn

#: Numbers in one image: 4096x4096 in colour, and some.
MAX_PIXELS = 2**26


class Architecture(ABC):
    """A family of main networks.

    A subclass sets `name`, `description`, `input_shape` (channels, height, width) and `num_classes`, and
    writes `build` and `expressed`. Its settings, if any, are a nested class `Options`; an instance has them
    as `self.options`. `input_shape` and `num_classes` may be properties that depend on the options.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type[AnyOptions]] = AnyOptions

    #: Shape of one image: (C, H, W).
    input_shape: tuple[int, int, int]
    num_classes: int
    #: Name of the last `nn.Linear`; None: the one whose output is the logits.
    readout: str | None = None

    def __init__(self, options: AnyOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    @abstractmethod
    def build(self) -> nn.Module:
        """A new main network: any module that maps images (N, C, H, W) to logits (N, num_classes)."""

    @abstractmethod
    def expressed(self) -> list[str]:
        """Patterns (fnmatch, `*` crosses dots) over the parameter names that a genotype writes."""


def build_network(architecture: Architecture, seed: int) -> nn.Module:
    """Build the main network with torch's generators seeded, and leave them as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.build()


def check_description(architecture: Architecture, patterns: object) -> None:
    """Raise where an architecture's shape, its number of classes or its `expressed()` cannot be used."""
    if not isinstance(patterns, list | tuple) or not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"expressed() returned {shown(patterns)}: give a list of patterns")
    shape, classes = tuple(architecture.input_shape), architecture.num_classes
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in (*shape, classes)):
        raise ValueError(
            f"input_shape is {shape} and num_classes {classes}: give (channels, height, width) and a count"
        )
    if math.prod(shape) > MAX_PIXELS:
        raise ValueError(f"input_shape is {shape}: give at most {MAX_PIXELS:,} numbers an image")

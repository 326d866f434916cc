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

#: Numbers in one input: an image of 4096x4096 in colour, and some.
MAX_NUMBERS = 2**26


class Architecture(ABC):
    """A family of main networks.

    A subclass sets `name` and `description`, and writes `build` and `expressed`. Its settings, if any, are a
    nested class `Options`; an instance has them as `self.options`. `input_shape` and `num_outputs` may be
    properties that depend on the options; what is left open is filled in before `build` is called.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type[AnyOptions]] = AnyOptions

    #: Shape of one input, without the batch's axis: (C, H, W) of an image. None: as the task has it.
    input_shape: tuple[int, ...] | None = None
    #: Numbers that an input is mapped to: logits, or whatever the task asks for. None: as the task has it.
    num_outputs: int | None = None
    #: True: the network maps (x_t, state) to (y_t, state), one time step; state None at the start. It may
    #: have a method `sequence` that maps all steps, (N, T, *input_shape), at once.
    recurrent: ClassVar[bool] = False
    #: Name of the last `nn.Linear`; None: the one whose output is the logits.
    readout: str | None = None

    def __init__(self, options: AnyOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    @abstractmethod
    def build(self) -> nn.Module:
        """A new main network: any module that maps inputs (N, *input_shape) to outputs (N, num_outputs)."""

    @abstractmethod
    def expressed(self) -> list[str]:
        """Patterns (fnmatch, `*` crosses dots) over the parameter names that a genotype writes."""

    @property
    def is_open(self) -> bool:
        """Whether a task has to say a shape before the network can be built."""
        return self.input_shape is None or self.num_outputs is None

    def fill_in(self, input_shape: tuple[int, ...], num_outputs: int) -> None:
        """Take over from a task what is left open."""
        if self.input_shape is None:
            self.input_shape = input_shape
        if self.num_outputs is None:
            self.num_outputs = num_outputs

    def shapes(self) -> tuple[tuple[int, ...], int]:
        """Shape of one input and number of outputs, once nothing is left open."""
        assert self.input_shape is not None
        assert self.num_outputs is not None
        return tuple(self.input_shape), self.num_outputs


def build_network(architecture: Architecture, seed: int) -> nn.Module:
    """Build the main network with torch's generators seeded, and leave them as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.build()


def check_patterns(patterns: object) -> None:
    """Raise where what `expressed()` returned are no patterns."""
    if not isinstance(patterns, list | tuple) or not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"expressed() returned {shown(patterns)}: give a list of patterns")


def check_shapes(architecture: Architecture) -> None:
    """Raise where what an architecture says of its input and outputs cannot be used."""
    shape, outputs = architecture.input_shape, architecture.num_outputs
    sizes = (*(() if shape is None else tuple(shape)), *(() if outputs is None else (outputs,)))
    if not all(isinstance(n, int) and n > 0 for n in sizes) or shape == ():
        raise ValueError(
            f"input_shape is {shape} and num_outputs {outputs}: give whole numbers from 1, such as "
            "(channels, height, width) and a count, or None for what the task is to say"
        )
    if shape is not None and math.prod(shape) > MAX_NUMBERS:
        raise ValueError(f"input_shape is {shape}: give at most {MAX_NUMBERS:,} numbers an input")

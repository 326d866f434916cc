"""Sequences that are made up with a recorded seed: they need no file."""

from __future__ import annotations

import string
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

import genophen


class GeneratedOptions(genophen.Options):
    seed: int = Field(0, ge=0, description="of all draws")
    train_size: int = Field(10_000, ge=1, le=10_000_000, description="training sequences")
    validation_size: int = Field(1_000, ge=1, le=1_000_000, description="validation sequences")
    test_size: int = Field(2_000, ge=1, le=1_000_000, description="test sequences")


class Generated(genophen.Dataset):
    """Each split is drawn in turn from one generator."""

    Options: ClassVar[type[genophen.Options]] = GeneratedOptions
    options: GeneratedOptions

    @abstractmethod
    def draw(self, count: int, split: str, generator: torch.Generator) -> genophen.Sequences:
        """As many sequences of a split."""

    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """What the labels stand for."""

    def symbols(self) -> tuple[str, ...]:
        """What the inputs stand for, where they are symbols."""
        return ()

    def load(self, data_dir: Path) -> genophen.SequenceData:
        generator = torch.Generator().manual_seed(self.options.seed)
        splits = {
            name: self.draw(getattr(self.options, f"{name}_size"), name, generator)
            for name in ("train", "validation", "test")
        }
        return genophen.SequenceData(**splits, class_names=self.class_names(), symbols=self.symbols())


class AssociativeRetrievalOptions(GeneratedOptions):
    train_size: int = Field(100_000, ge=1, le=10_000_000, description="training sequences")
    validation_size: int = Field(10_000, ge=1, le=1_000_000, description="validation sequences")
    test_size: int = Field(20_000, ge=1, le=1_000_000, description="test sequences")
    pairs: int = Field(4, ge=1, le=26, description="letters, each with a digit")


class AssociativeRetrieval(Generated):
    """`c9k8j3f1??c` has the label 9: letters without repetition, each before its digit, and a query.

    Ba et al. 2016, "Using fast weights to attend to the recent past", section 4.1.
    """

    name = "associative-retrieval"
    description = "pairs of a letter and a digit, then a letter: which digit was its own?"
    Options: ClassVar[type[genophen.Options]] = AssociativeRetrievalOptions
    options: AssociativeRetrievalOptions

    def class_names(self) -> tuple[str, ...]:
        return tuple(string.digits)

    def symbols(self) -> tuple[str, ...]:
        return (*string.ascii_lowercase, *string.digits, "?")

    def draw(self, count: int, split: str, generator: torch.Generator) -> genophen.Sequences:
        pairs = self.options.pairs
        keys = torch.rand(count, 26, generator=generator).argsort(1)[:, :pairs]  # (N, pairs)
        values = torch.randint(10, (count, pairs), generator=generator)
        asked = torch.randint(pairs, (count, 1), generator=generator)
        told = torch.stack([keys, 26 + values], 2).flatten(1)  # (N, 2 pairs)
        marks = torch.full((count, 2), 36)
        inputs = torch.cat([told, marks, keys.gather(1, asked)], 1)  # (N, 2 pairs + 3)
        return genophen.Sequences(inputs, values.gather(1, asked).flatten())


class UnknownDelayOptions(GeneratedOptions):
    bits: int = Field(2, ge=1, le=12, description="bits of the pattern to be kept")
    longest_delay: int = Field(
        30, ge=1, le=10_000, description="longest delay trained and validated on; the test has twice that"
    )


class UnknownDelay(Generated):
    """A pattern of bits with a mark, noise for a while, and a second mark: which pattern was it?

    At every step the bits are random ones; the two further inputs are the marks. The delay between them is
    drawn from 1 to the longest. After Schmidhuber 1992, "Learning to control fast-weight memories".
    """

    name = "unknown-delay"
    description = "a marked pattern of bits, to be told after a delay that is not known"
    Options: ClassVar[type[genophen.Options]] = UnknownDelayOptions
    options: UnknownDelayOptions

    def class_names(self) -> tuple[str, ...]:
        bits = self.options.bits
        return tuple(format(number, f"0{bits}b") for number in range(2**bits))

    def draw(self, count: int, split: str, generator: torch.Generator) -> genophen.Sequences:
        longest = self.options.longest_delay * (2 if split == "test" else 1)
        steps, bits = longest + 1, self.options.bits
        patterns = torch.randint(2, (count, steps, bits), generator=generator)
        delays = torch.randint(1, longest + 1, (count,), generator=generator)
        at = longest - delays  # (N,)
        marks = torch.stack([F.one_hot(at, steps), _last(count, steps)], 2)  # (N, T, 2)
        inputs = torch.cat([2 * patterns - 1, marks], 2).float()
        kept = patterns[torch.arange(count), at]  # (N, bits)
        weights = 2 ** torch.arange(bits - 1, -1, -1)
        return genophen.Sequences(inputs, (kept * weights).sum(1))


def _last(count: int, steps: int) -> Tensor:
    return F.one_hot(torch.tensor(steps - 1), steps).expand(count, steps)


@genophen.hookimpl
def register_datasets(register):  # type: ignore[no-untyped-def]
    for cls in (AssociativeRetrieval, UnknownDelay):
        register(cls)

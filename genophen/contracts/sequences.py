"""Sequences, as data sets give them: labelled ones, and texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Sequences:
    """Labelled sequences: `inputs` float32 (N, T, F), or int64 (N, T) of symbols; `labels` int64 (N,)."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class SequenceData:
    """Labelled sequences in three splits, each with a length T of its own."""

    train: Sequences
    validation: Sequences
    test: Sequences
    class_names: tuple[str, ...]
    #: What the numbers of int64 inputs stand for.
    symbols: tuple[str, ...] = ()

    def digest(self) -> str:
        """SHA-256 over inputs and labels of all splits."""
        return _digest(t for s in (self.train, self.validation, self.test) for t in (s.labels, s.inputs))


@dataclass(frozen=True)
class Text:
    """A text in three splits: int64 (M,) each, numbers of `symbols`."""

    train: Tensor
    validation: Tensor
    test: Tensor
    symbols: tuple[str, ...]

    def digest(self) -> str:
        """SHA-256 over all splits."""
        return _digest((self.train, self.validation, self.test))


def symbol_vectors(numbers: Tensor, count: int) -> Tensor:
    """Symbols as networks read them: numbers, int64 (...), to float32 (..., count), zero but for one place.

    There stands sqrt(count), so that an element's mean square is 1, as in normalised images. Initial values
    of variance 1 / fan_in rely on that: of one-hot vectors a network would hear next to nothing at first.
    """
    return F.one_hot(numbers, count).float() * count**0.5


def _digest(tensors: object) -> str:
    sha256 = hashlib.sha256()
    for tensor in tensors:  # type: ignore[attr-defined]
        sha256.update(repr((str(tensor.dtype), tuple(tensor.shape))).encode())
        sha256.update(tensor.cpu().contiguous().numpy().data)
    return sha256.hexdigest()

"""Data sets: labelled images in three splits."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from genophen.contracts.options import Options as AnyOptions
from genophen.contracts.sequences import SequenceData, Text

#: Bytes read at a time, so that a memory-mapped split is never read whole.
_CHUNK = 64 * 2**20


@dataclass(frozen=True)
class Split:
    """Images, uint8 (M, C, H, W), and their labels, int64 (M,); either may be memory-mapped.

    With `rows`, int64 (N,), the split consists of those M's rows alone, in that order; otherwise N = M.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels) if self.rows is None else len(self.rows)

    def take(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The images (n, C, H, W) and labels (n,) at positions (n,) of this split."""
        rows = positions if self.rows is None else self.rows[positions]
        return self.images.index_select(0, rows), self.labels[rows]  # a fraction of indexing's time

    def chunks(self, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and labels in order, `size` at a time, or as many as fit 64 MiB."""
        size = size or max(1, _CHUNK // max(1, self.images[0].numel()))
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            if self.rows is None:
                yield self.images[start:stop], self.labels[start:stop]
            else:
                yield self.take(torch.arange(start, stop, device=self.rows.device))

    def to(self, device: torch.device) -> Split:
        """This split in the memory of `device`, without rows that it does not have."""
        images, labels = (
            (self.images, self.labels) if self.rows is None else self.take(torch.arange(len(self)))
        )
        return Split(images.to(device), labels.to(device))


@dataclass(frozen=True)
class Data:
    """A data set in memory or memory-mapped.

    Without a `validation` split of its own, one is drawn from `train` (see `genophen.data.splits`).
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    validation: Split | None = None
    #: SHA-256 of the content where the data set knows one; otherwise computed from the pixels.
    sha256: str = field(default="")

    def digest(self) -> str:
        """SHA-256 over labels and pixels of all splits, or the data set's own."""
        return self.sha256 or _digest([s for s in (self.train, self.validation, self.test) if s is not None])


class Dataset(ABC):
    """A source of labelled images, of labelled sequences, or of a text.

    A subclass sets `name` and `description`, nests its settings as `Options`, and writes `load`.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type[AnyOptions]] = AnyOptions

    def __init__(self, options: AnyOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    @abstractmethod
    def load(self, data_dir: Path) -> Data | SequenceData | Text:
        """Read the data from below `data_dir`, fetching them first where that is possible.

        Raises:
            GenophenError: where the data cannot be had; the message says what to do.
            DamagedError: for data that is not what it should be.
        """


def _digest(splits: list[Split]) -> str:
    sha256 = hashlib.sha256()
    for split in splits:
        sha256.update(repr((len(split), *split.images.shape[1:])).encode())
        for images, labels in split.chunks():
            sha256.update(labels.cpu().contiguous().numpy().data)
            sha256.update(images.cpu().contiguous().numpy().data)
    return sha256.hexdigest()

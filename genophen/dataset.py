"""Data sets: labelled images in three splits."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from genophen.errors import ConfigError, DamagedError
from genophen.options import Options as AnyOptions

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

    Without a `validation` split of its own, one is drawn from `train` (see `draw_validation`).
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
    """A source of labelled images.

    A subclass sets `name` and `description`, nests its settings as `Options`, and writes `load`.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type[AnyOptions]] = AnyOptions

    def __init__(self, options: AnyOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    @abstractmethod
    def load(self, data_dir: Path) -> Data:
        """Read the images from below `data_dir`, fetching them first where that is possible.

        Raises:
            GenophenError: where the data cannot be had; the message says what to do.
            DamagedError: for data that is not what it should be.
        """


def check_data(data: Data, name: str) -> None:
    """Raise a DamagedError where the splits of data set `name` are not what `Data` promises."""
    if not isinstance(data, Data):
        raise DamagedError(
            f"cannot use the data set {name}", found=f"load() returned {type(data).__name__}", allowed="Data"
        )
    if not data.class_names or not all(isinstance(name, str) for name in data.class_names):
        raise DamagedError(
            f"cannot use the data set {name}",
            found="class_names that are not texts",
            allowed="a name a class",
        )
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    for split_name, split in splits.items():
        if split is None and split_name == "validation":
            continue
        problem = _problem(split, data) if isinstance(split, Split) else f"a {type(split).__name__}"
        if problem:
            raise DamagedError(
                f"cannot use the {split_name} images of the data set {name}",
                found=problem,
                allowed="uint8 images (N, C, H, W), int64 labels (N,) below the number of classes, N > 0",
                next_step=_advice(split, data) if isinstance(split, Split) else "give a genophen.Split",
            )


def _problem(split: Split, data: Data) -> str:
    images, labels, rows = split.images, split.labels, split.rows
    if not all(isinstance(tensor, Tensor) for tensor in (images, labels)):
        return f"images {type(images).__name__}, labels {type(labels).__name__}, not tensors"
    if images.dtype != torch.uint8 or images.dim() != 4 or labels.dtype != torch.int64 or labels.dim() != 1:
        found = f"images {images.dtype} {tuple(images.shape)}, labels {labels.dtype} {tuple(labels.shape)}"
        return found.replace("torch.", "")
    if rows is not None and not _are_positions(rows, len(labels)):
        return f"rows {tuple(rows.shape)} that are not positions among {len(labels)} images"
    if len(images) != len(labels) or not len(labels):
        return f"{len(images)} images and {len(labels)} labels"
    if images.shape[1:] != data.train.images.shape[1:]:
        return f"image shape {tuple(images.shape[1:])} beside {tuple(data.train.images.shape[1:])} in train"
    lowest, highest = int(labels.min()), int(labels.max())
    fit = lowest >= 0 and highest < len(data.class_names)
    return "" if fit else f"labels from {lowest} to {highest} for {len(data.class_names)} classes"


def _advice(split: Split, data: Data) -> str:
    """How usual slips in the making of a split are mended."""
    images, labels = split.images, split.labels
    if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
        return "torch.from_numpy(array) makes tensors of arrays"
    advice = []
    if images.is_floating_point():
        advice.append("pixels from 0 to 1: (images * 255).round().to(torch.uint8)")
    elif images.dtype != torch.uint8:
        advice.append("images.to(torch.uint8)")
    if images.dim() == 3:
        advice.append("images without channels: images[:, None]")
    if labels.dtype != torch.int64:
        advice.append("labels.long()")
    elif labels.numel() and int(labels.max()) == len(data.class_names):
        advice.append("count the classes from 0")
    return "; ".join(advice)


def _are_positions(rows: Tensor, count: int) -> bool:
    """Whether `rows` is a list of positions below `count`, one at least."""
    well_formed = rows.dtype == torch.int64 and rows.dim() == 1 and len(rows) > 0
    return well_formed and bool(rows.min() >= 0) and bool(rows.max() < count)


def draw_validation(data: Data, size: int | None, seed: int) -> Data:
    """Move `size` images, drawn at random with `seed`, from the training to the validation split.

    Without a size: a tenth of the training images, at most 5,000.

    Raises:
        ConfigError: for a size that leaves no training image, and for too few images to take a tenth of.
    """
    count = len(data.train)
    if size is None and count < 10:
        raise ConfigError(
            "cannot draw the validation images",
            found=f"too few training images ({count}) to take a tenth of them",
            allowed="10 at least, where dataset.validation_size is not set",
            next_step="add images, or set dataset.validation_size to fewer than there are",
        )
    size = min(count // 10, 5000) if size is None else size
    if not 0 < size < count:
        raise ConfigError(
            "cannot draw the validation images",
            found=f"dataset.validation_size = {size} of {count} training images",
            allowed=f"1 to {count - 1}",
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    # Sorted, so that a memory-mapped split is read in one direction.
    held_out, kept = order[:size].sort().values, order[size:].sort().values
    images, labels = data.train.images, data.train.labels
    return replace(data, train=Split(images, labels, kept), validation=Split(images, labels, held_out))


def _digest(splits: list[Split]) -> str:
    sha256 = hashlib.sha256()
    for split in splits:
        sha256.update(repr((len(split), *split.images.shape[1:])).encode())
        for images, labels in split.chunks():
            sha256.update(labels.cpu().contiguous().numpy().data)
            sha256.update(images.cpu().contiguous().numpy().data)
    return sha256.hexdigest()

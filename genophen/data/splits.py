"""The splits of a data set: checked, and with validation images drawn where it has none of its own."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from genophen.contracts.dataset import Data, Split
from genophen.errors import ConfigError, DamagedError


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

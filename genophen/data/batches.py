"""Batches on the device: gathered, fitted to the network's input, augmented and normalised there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genophen.contracts.dataset import Split
from genophen.data.augmentation import Augmentation, augment
from genophen.errors import ConfigError


def check_fit(image_shape: tuple[int, ...], input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The input shape as (C, H, W); a ConfigError where images (C, H, W) cannot be made input of it."""
    if len(input_shape) != 3 or image_shape[0] not in (1, input_shape[0]):
        takes = f"{input_shape[0]}" if len(input_shape) == 3 else f"inputs of shape {input_shape}"
        raise ConfigError(
            "cannot feed the data set's images to the architecture",
            found=f"images with {image_shape[0]} channels, an architecture that takes {takes}",
            allowed="as many channels as the architecture takes, or one, which is repeated",
            next_step="choose another architecture or data set",
        )
    channels, height, width = input_shape
    return channels, height, width


def fit_images(images: Tensor, input_shape: tuple[int, int, int]) -> Tensor:
    """Images uint8 (N, C, H, W) resized and repeated over channels to uint8 (N, *input_shape)."""
    channels, height, width = input_shape
    if images.shape[2:] != (height, width):
        resized = F.interpolate(images.float(), (height, width), mode="bilinear", antialias=True)
        images = resized.round_().clamp_(0, 255).to(torch.uint8)  # (N, C, height, width)
    if images.shape[1] != channels:
        images = images.expand(-1, channels, -1, -1)
    return images


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel, shape (C, 1, 1), on the scale 0 to 255."""

    mean: Tensor
    std: Tensor
    memory_format: torch.memory_format = torch.contiguous_format

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 (N, C, H, W) to float32 of zero mean and unit deviation, in the memory format."""
        floats = images.to(torch.float32).sub_(self.mean).div_(self.std)
        if self.memory_format is torch.contiguous_format:
            return floats
        return floats.clone(memory_format=self.memory_format)  # last: arithmetic in this order is slow

    def to(self, device: torch.device, memory_format: torch.memory_format) -> Normalization:
        return Normalization(self.mean.to(device), self.std.to(device), memory_format)


def measure_normalization(split: Split, input_shape: tuple[int, int, int]) -> Normalization:
    """The normalization that the images of a split, fitted to the network, need. Exact: from histograms."""
    channels = input_shape[0]
    histogram = torch.zeros(channels, 256, dtype=torch.float64)
    for images, _ in split.chunks():
        fitted = fit_images(images, input_shape).cpu()
        for channel in range(channels):
            histogram[channel] += torch.bincount(fitted[:, channel].reshape(-1), minlength=256)
    values = torch.arange(256, dtype=torch.float64)
    share = histogram / histogram.sum(1, keepdim=True)
    mean = (share * values).sum(1)
    std = (share * (values - mean[:, None]) ** 2).sum(1).sqrt()
    # A channel without any contrast is left at its scale instead of being divided by zero.
    std = torch.where(std > 0, std, torch.ones_like(std))
    return Normalization(mean.float().view(-1, 1, 1), std.float().view(-1, 1, 1))


class TrainBatches:
    """An endless stream of training batches; each pass over the images is in a new random order.

    Draws come from `generator`, on the CPU. The state, generator included, can be saved and restored.
    """

    def __init__(
        self,
        split: Split,
        normalization: Normalization,
        input_shape: tuple[int, int, int],
        batch_size: int,
        augmentation: Augmentation,
        generator: torch.Generator,
    ) -> None:
        self.batch_size = min(batch_size, len(split))
        self._split = split
        self._normalization = normalization
        self._input_shape = input_shape
        self._augmentation = augmentation
        self._generator = generator
        self._order = torch.empty(0, dtype=torch.int64)
        self._position = 0

    @property
    def image_count(self) -> int:
        """Images in one pass, at most."""
        return len(self._split)

    def __len__(self) -> int:
        """Batches in one pass. A last single image is left out: batch norm cannot train on one."""
        full, rest = divmod(len(self._split), self.batch_size)
        return full + (rest > 1)

    def next(self) -> tuple[Tensor, Tensor]:
        """The next images, float32 (N, C, H, W), and labels, int64 (N,), on the device."""
        if self._position % len(self) == 0:
            self._order = torch.randperm(len(self._split), generator=self._generator)
            self._position = 0
        start = self._position * self.batch_size
        rows = self._order[start : start + self.batch_size]
        self._position += 1
        images, labels = self._split.take(rows.to(self._split.images.device))
        device = self._normalization.mean.device
        images = fit_images(images.to(device), self._input_shape)
        images = augment(images, self._augmentation, self._generator)
        return self._normalization(images), labels.to(device)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state(), "order": self._order, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        order, position = state["order"], state["position"]
        if order.dtype != torch.int64 or order.dim() != 1 or type(position) is not int or position < 0:
            raise ValueError("the order of the images, or the place in it, is none")
        if len(order) and not (int(order.min()) >= 0 and int(order.max()) < len(self._split)):
            raise ValueError(f"the order of the images has others than the {len(self._split)} that there are")
        self._generator.set_state(state["generator"])
        self._order, self._position = order, position


class EvaluationBatches:
    """All images of a split in order, unaugmented; can be gone through any number of times."""

    def __init__(
        self, split: Split, normalization: Normalization, input_shape: tuple[int, int, int], batch_size: int
    ) -> None:
        self._split = split
        self._normalization = normalization
        self._input_shape = input_shape
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self._split.chunks(self._batch_size):
            yield self._prepared(images, labels)

    def __len__(self) -> int:
        """All images, not batches."""
        return len(self._split)

    def take(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The images (n, C, H, W) and labels (n,) at positions (n,)."""
        return self._prepared(*self._split.take(positions.to(self._split.images.device)))

    def _prepared(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        device = self._normalization.mean.device
        fitted = fit_images(images.to(device), self._input_shape)
        return self._normalization(fitted), labels.to(device)

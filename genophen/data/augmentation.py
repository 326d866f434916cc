"""Random changes to training images, drawn for each image by itself."""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from genophen.contracts.options import Options


class Augmentation(Options):
    """Which random changes the training images get."""

    padding: int = Field(0, ge=0, le=1024, description="black pixels added on each side before the crop")
    crop: bool = Field(True, description="crop the padded image back to its size at a random place")
    flip: bool = Field(False, description="mirror left and right with probability one half")

    @model_validator(mode="after")
    def _padding_is_cropped(self) -> Augmentation:
        if self.padding and not self.crop:
            raise ValueError(f"padding = {self.padding} needs crop = true: the network takes one image size")
        return self


def augment(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Augmented copies of images, uint8 (N, C, H, W), each with draws of its own from `generator`.

    The draws are made on the generator's device, so that equal seeds give equal images on any other.
    """
    if settings.padding:
        images = _crop(images, settings.padding, generator)
    if settings.flip:
        coins = torch.rand(len(images), generator=generator, device=generator.device) < 0.5
        mirrored = coins.to(images.device).view(-1, 1, 1, 1)
        images = torch.where(mirrored, images.flip(-1), images)
    return images


def _crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    n, _, height, width = images.shape
    places = torch.randint(0, 2 * padding + 1, (2, n), generator=generator, device=generator.device)
    top, left = places.to(images.device)
    padded = F.pad(images, (padding,) * 4)  # (N, C, H + 2p, W + 2p)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, 2p + 1, 2p + 1, H, W), a view
    return windows[torch.arange(n, device=images.device), :, top, left]  # (N, C, H, W)

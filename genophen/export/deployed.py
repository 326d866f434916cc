"""The network as it is handed out: images in, as they are in their files, logits out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genophen.data.batches import Normalization


class DeployedNetwork(nn.Module):
    """A plain network behind its preprocessing, in operations that every format has."""

    mean: Tensor
    std: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, network: nn.Module, normalization: Normalization, about: dict[str, Any]) -> None:
        """`about` describes the network, its images and the preprocessing (see `describe`)."""
        super().__init__()
        self.about = about
        self.network = network
        _, height, width = about["image_shape"]
        self.channels, self.height, self.width = about["input_shape"]
        self.resized = (height, width) != (self.height, self.width)
        self.register_buffer("mean", normalization.mean)
        self.register_buffer("std", normalization.std)
        self.register_buffer("rows", resize_matrix(height, self.height))
        self.register_buffer("columns", resize_matrix(width, self.width).T.contiguous())

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 (N, C, H, W) of the data set's shape to logits (N, num_outputs)."""
        x = images.to(torch.float32)
        if self.resized:
            x = (self.rows @ x @ self.columns).round().clamp(0, 255)  # (N, C, height, width)
        x = x.expand(-1, self.channels, -1, -1)
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits


def resize_matrix(source: int, target: int) -> Tensor:
    """What bilinear resizing does to a line of `source` pixels, as a matrix (target, source)."""
    unit = torch.eye(source).view(1, 1, source, source)
    return F.interpolate(unit, (target, source), mode="bilinear", antialias=True)[0, 0]

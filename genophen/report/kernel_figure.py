"""The kernels of several runs side by side: learned directly, generated, all on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Largest number of output and input channels that are drawn.
MAX_CHANNELS = 16


@dataclass(frozen=True)
class Panel:
    """One kernel to draw: a title, and the weight (C_out, C_in, kh, kw)."""

    title: str
    weight: Tensor


def tile(weight: Tensor, max_channels: int = MAX_CHANNELS) -> Tensor:
    """A kernel (C_out, C_in, kh, kw) as one picture, an output channel a row, an input channel a column.

    One empty pixel (NaN) separates the filters.
    """
    shown = weight.detach().float().cpu()[:max_channels, :max_channels]
    rows, columns, kh, kw = shown.shape
    picture = torch.full((rows * (kh + 1) - 1, columns * (kw + 1) - 1), float("nan"))
    for row in range(rows):
        for column in range(columns):
            top, left = row * (kh + 1), column * (kw + 1)
            picture[top : top + kh, left : left + kw] = shown[row, column]
    return picture


def draw_kernels(panels: Sequence[Panel], caption: str) -> Figure:
    """The panels in one row, on one symmetric colour scale."""
    from matplotlib.figure import Figure

    limit = max(float(panel.weight.detach().abs().quantile(0.99)) for panel in panels)
    figure = Figure(figsize=(5 * len(panels) + 1, 5.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        image = axis.imshow(
            tile(panel.weight).numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest"
        )
        axis.set_title(panel.title, fontsize=11, parse_math=False)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_xlabel("input channels")
    axes[0].set_ylabel("output channels")
    figure.colorbar(image, ax=list(axes), shrink=0.6, label="weight")
    figure.supxlabel(caption, fontsize=9, parse_math=False)
    return figure

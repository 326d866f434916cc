"""Small pictures inside a page, as PNG in data addresses."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

#: Colours of the most negative and the most positive weight; zero is transparent and shows the page.
NEGATIVE, POSITIVE = (32, 120, 214), (214, 84, 24)


def diverging_png(picture: Tensor, limit: float) -> str:
    """Numbers (H, W) in colours that end at -limit and limit; where a number is none, nothing is drawn.

    The colour says the sign and its strength the size, so that it reads on a light and on a dark page.
    """
    strength = (picture / limit).nan_to_num(0.0).clamp(-1, 1)  # (H, W)
    colours = torch.where((strength < 0)[..., None], torch.tensor(NEGATIVE), torch.tensor(POSITIVE))
    alpha = (strength.abs() * 255).round()[..., None]
    return png(torch.cat([colours.float(), alpha], dim=2).to(torch.uint8).numpy())  # (H, W, 4)


def image_png(image: Tensor) -> str:
    """An image uint8 (C, H, W): grey for one channel, the first three as red, green and blue for three."""
    channels = image.shape[0]
    shown = image[:3] if channels >= 3 else image[:1]
    pixels: NDArray[np.uint8] = shown.permute(1, 2, 0).contiguous().cpu().numpy()  # (H, W, 1 or 3)
    return png(pixels[:, :, 0] if shown.shape[0] == 1 else pixels)


def png(pixels: NDArray[np.uint8]) -> str:
    """Pixels as a PNG in a data address."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()

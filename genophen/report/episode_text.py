"""An episode in letters: each a field of two by four dots, as Braille has them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genophen.contracts.playback import Frame, Line, Playback

#: Bits of the dots of a letter, by row and column (Unicode, Braille Patterns).
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_BLANK = 0x2800
#: From dark to light, for images.
_SHADES = " .:-=+*#%@"


def texts(playback: Playback, columns: int, *, plain: bool = False) -> Iterator[str]:
    """Every frame as lines of text of so many letters; with `plain`, in ASCII."""
    for frame in playback.frames:
        yield "\n".join(_rows(frame, playback, columns, plain))


def _rows(frame: Frame, playback: Playback, columns: int, plain: bool) -> list[str]:
    if isinstance(frame, np.ndarray):
        return _image(frame, columns)
    left, bottom, right, top = playback.view
    scale = 2 * columns / (right - left)  # dots for a unit
    rows = max(1, round(scale * (top - bottom) / 4))
    dots = np.zeros((4 * rows, 2 * columns), bool)
    for line in frame:
        _draw(dots, line, left, top, scale)
    letters = (dots.reshape(rows, 4, columns, 2) * _DOTS[:, None, :]).sum((1, 3))  # (rows, columns)
    if plain:
        return ["".join("#" if letter else " " for letter in row).rstrip() for row in letters]
    return ["".join(chr(_BLANK + letter) for letter in row) for row in letters]


def _draw(dots: np.ndarray, line: Line, left: float, top: float, scale: float) -> None:
    """Mark the dots within half a line's width of it."""
    height, width = dots.shape
    y, x = np.mgrid[0:height, 0:width] + 0.5
    x1, x2 = scale * (line.x1 - left), scale * (line.x2 - left)
    y1, y2 = scale * (top - line.y1), scale * (top - line.y2)
    dx, dy = x2 - x1, y2 - y1
    length = dx * dx + dy * dy
    along = np.clip(((x - x1) * dx + (y - y1) * dy) / length, 0, 1) if length else 0.0
    distance = np.hypot(x - x1 - along * dx, y - y1 - along * dy)
    dots |= distance <= max(scale * line.width / 2, 0.75)


def _image(image: np.ndarray, columns: int) -> list[str]:
    """An image (H, W, 3) in shades; a letter is twice as high as it is wide."""
    height, width = image.shape[:2]
    across = np.linspace(0, width - 1, columns).astype(int)
    down = np.linspace(0, height - 1, max(1, round(columns * height / width / 2))).astype(int)
    grey = image[down][:, across].astype(float).mean(2) / 255
    shades = np.minimum((grey * len(_SHADES)).astype(int), len(_SHADES) - 1)
    return ["".join(_SHADES[shade] for shade in row) for row in shades]

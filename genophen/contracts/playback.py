"""An episode to be looked at: frames of lines, or images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

#: Lines, or an image, uint8 (H, W, 3).
Frame = tuple["Line", ...] | np.ndarray


class Line(NamedTuple):
    """A line of some width, in the units of the view; a box is a wide one. All frames have the same lines."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float
    #: Number of a colour; 0: that of text.
    colour: int = 0


@dataclass(frozen=True)
class Playback:
    """One episode, from its start to its end."""

    frames: Sequence[Frame]
    #: Left, bottom, right and top of what lines are drawn in.
    view: tuple[float, float, float, float]
    #: From one frame to the next.
    seconds: float
    #: Of the whole episode, of which frames may be left out.
    steps: int
    returned: float
    failed: bool
    #: What is to be seen, in words.
    words: str

    @property
    def of_images(self) -> bool:
        return bool(self.frames) and isinstance(self.frames[0], np.ndarray)

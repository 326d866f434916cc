"""Parts of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """A part of the page, or why it is missing."""

    figure: Any = None
    missing: str = ""

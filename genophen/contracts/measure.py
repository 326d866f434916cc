"""Measures: what a score is called, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """The name of a score, such as `accuracy` or `bits per character`, and how to write one."""

    name: str
    #: The score is a fraction, written in per cent.
    percent: bool = False
    #: The score is minus what the name says, so that higher is better all the same.
    negated: bool = False

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Measure:
        """The measure that a record names (see `as_record`)."""
        return cls(record["measure"], record["percent"], record["negated"])

    def as_record(self) -> dict[str, Any]:
        """What files say of a measure."""
        return {"measure": self.name, "percent": self.percent, "negated": self.negated}

    @property
    def title(self) -> str:
        """The name as a heading or an axis has it: `accuracy`, `bits per character (negated)`."""
        return f"{self.name} (negated)" if self.negated else self.name

    @property
    def key(self) -> str:
        """The name as a key has it: `bits_per_character`."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")

    @property
    def factor(self) -> int:
        """What scores are multiplied by where numbers stand without a sign for per cent."""
        return 100 if self.percent else 1

    @property
    def unit(self) -> str:
        """What an axis has behind the title."""
        return " (%)" if self.percent else ""

    def own(self, score: float | None) -> float | None:
        """What the name says, of a score: its negative where the measure is negated."""
        return -score if self.negated and score is not None else score

    def shown(self, score: float) -> str:
        """A score as text: `97.50%`, or `-1.234` in four digits."""
        return f"{self.bare(score)}%" if self.percent else self.bare(score)

    def bare(self, score: float, sign: str = "") -> str:
        """The same where the unit stands elsewhere: `97.50`; `sign` is `+` for differences."""
        return f"{100 * score:{sign}.2f}" if self.percent else f"{score:{sign}.4g}"

    def difference(self, size: float) -> str:
        """How far two scores are apart: `1.25 points`, or `0.0125`."""
        return f"{self.bare(size)} points" if self.percent else self.bare(size)


#: The measure of classification, and of every record from before there were other tasks.
ACCURACY = Measure("accuracy", percent=True)

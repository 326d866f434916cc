"""The last step of the encodings: numbers of variance 1 become a weight of its usual scale."""

from __future__ import annotations

import math

from torch import Tensor

import genophen


def scaled(target: genophen.Target, values: Tensor, standardized: bool) -> Tensor:
    """The weight of a target from as many numbers, in any shape: standardised, or times sqrt(2 / fan_in)."""
    weight = values.reshape(target.shape)
    return genophen.standardize(weight) if standardized else weight * math.sqrt(2 / target.fan_in)

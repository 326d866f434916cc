"""The last step of the encodings: numbers of variance 1 become a weight of its usual scale."""

from __future__ import annotations

import math

from torch import Tensor

import genophen


def scaled(target: genophen.Target, values: Tensor, standardized: bool) -> Tensor:
    """The weight of a target from as many numbers in the order of its `kernel_shape`.

    They are standardised, or multiplied by sqrt(2 / fan_in).
    """
    kernel = values.reshape(target.kernel_shape)
    if standardized and target.kind != "scale":
        return target.from_kernel(genophen.standardize(kernel, target.fan_in))
    return target.from_kernel(kernel * math.sqrt(2 / target.fan_in))

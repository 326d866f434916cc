"""Memory that goes from one call to the next.

On a CPU large tensors come as fresh pages of the system each time, which costs more than what is computed in
them. On other devices torch keeps memory itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import ClassVar

import torch
from torch import Tensor

#: Bytes that are kept for later calls.
LIMIT = 2**28


class Scratch:
    """Tensors for one computation; whoever holds it may write them, and they are kept once nobody does."""

    #: By shape and type, the oldest first.
    _free: ClassVar[OrderedDict[int, Tensor]] = OrderedDict()

    def __init__(self) -> None:
        self._taken: list[Tensor] = []

    def empty(self, like: Tensor, *shape: int) -> Tensor:
        """A tensor of the shape, with any numbers in it, on the device and of the type of `like`."""
        if type(like) is not Tensor or like.device.type != "cpu":
            return like.new_empty(shape)
        for key, tensor in list(self._free.items()):
            if tensor.shape == shape and tensor.dtype == like.dtype and self._free.pop(key, None) is not None:
                break
        else:
            with torch.inference_mode(False):  # it may be needed for a gradient next time
                tensor = torch.empty(shape, dtype=like.dtype)
        self._taken.append(tensor)
        return tensor

    def __del__(self) -> None:
        for tensor in self._taken:
            if tensor.nbytes <= LIMIT:
                self._free[id(tensor)] = tensor
        while math.fsum(tensor.nbytes for tensor in list(self._free.values())) > LIMIT:
            self._free.popitem(last=False)

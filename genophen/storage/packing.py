"""Nested state into flat tensors and plain JSON values, and back, to the bit.

Each value becomes itself (None, bool, int, str, finite float), a list, or a table of one tag:
`{"dict": [[key, value], ...]}`, `{"tuple": [...]}`, `{"float": "nan"}`,
`{"tensor": name}` with `"stride"` where the elements do not lie row by row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from genophen.errors import PluginError

#: What safetensors can hold and `torch.equal` compares.
DTYPES = frozenset(
    getattr(torch, name)
    for name in (
        *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
        *("float16", "bfloat16", "float32", "float64"),
    )
)


def pack(state: object, what: str) -> tuple[dict[str, Tensor], Any]:
    """The tensors of a nested state, as copies on the CPU by number, and the rest as JSON can hold it.

    A tensor that occurs twice is kept once. `what` begins the path that an error names.

    Raises:
        PluginError: for what cannot be saved, with its path.
    """
    packer = _Packer()
    return packer.tensors, packer.pack(state, what)


def unpack(tensors: Mapping[str, Tensor], packed: Any) -> Any:
    """The state that `pack` took apart; its tensors are on the CPU.

    Raises:
        LookupError, TypeError, ValueError, RecursionError: for what `pack` does not write.
    """
    return _Unpacker(tensors).unpack(packed)


class _Packer:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        #: By identity; the tensor itself is kept beside its name, so that no other can get its identity.
        self._names: dict[int, tuple[str, Tensor]] = {}

    def pack(self, value: object, path: str) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, list | tuple):
            items = [self.pack(item, f"{path}[{index}]") for index, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, Mapping):
            for key in value:
                if type(key) not in (int, str):
                    raise _cannot(path, f"a key that is {type(key).__name__}: {key!r}")
            return {"dict": [[key, self.pack(item, f"{path}[{key!r}]")] for key, item in value.items()]}
        raise _cannot(path, f"a {type(value).__module__}.{type(value).__qualname__}")

    def _tensor(self, tensor: Tensor, path: str) -> dict[str, Any]:
        if tensor.layout != torch.strided or tensor.dtype not in DTYPES or tensor.is_meta:
            raise _cannot(path, f"a tensor of {tensor.dtype}, {tensor.layout}, device {tensor.device}")
        if id(tensor) not in self._names:
            name = str(len(self.tensors))
            self._names[id(tensor)] = name, tensor
            # Copies: safetensors takes neither shared storage nor any order but row by row.
            self.tensors[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        packed: dict[str, Any] = {"tensor": self._names[id(tensor)][0]}
        # torch's fused optimizers walk through memory: with another order they would mix up the elements.
        if not tensor.is_contiguous() and torch.empty_like(tensor).stride() == tensor.stride():
            packed["stride"] = list(tensor.stride())
        return packed


class _Unpacker:
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._ordered: dict[str, Tensor] = {}

    def unpack(self, packed: Any) -> Any:
        if isinstance(packed, list):
            return [self.unpack(item) for item in packed]
        if not isinstance(packed, dict):
            return packed
        if "tensor" in packed:
            return self._tensor(packed["tensor"], packed.get("stride"))
        if "float" in packed:
            return float(packed["float"])
        if "tuple" in packed:
            return tuple(self.unpack(item) for item in packed["tuple"])
        return {key: self.unpack(item) for key, item in packed["dict"]}

    def _tensor(self, name: str, stride: list[int] | None) -> Tensor:
        if name not in self._ordered:
            tensor = self._tensors[name]
            if stride is not None:
                _check_dense(tensor.shape, stride)
                tensor = torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
            self._ordered[name] = tensor
        return self._ordered[name]


def _check_dense(shape: Sequence[int], stride: Sequence[int]) -> None:
    """Raise a ValueError unless elements lie side by side: else walks through memory leave the tensor."""
    if len(stride) != len(shape):
        raise ValueError(f"strides {stride} for a tensor of shape {list(shape)}")
    expected = 1
    for step, size in sorted(zip(stride, shape, strict=True)):
        if size > 1 and step != expected:
            raise ValueError(f"strides {stride} for a tensor of shape {list(shape)}")
        expected *= size


def _cannot(path: str, found: str) -> PluginError:
    return PluginError(
        f"cannot keep {path} in a checkpoint",
        found=found,
        allowed="tensors, numbers, strings, None, and lists, tuples and dicts of them with str or int keys",
        next_step="return plain values from state_dict(), e.g. torch.from_numpy(array) and int(number)",
    )

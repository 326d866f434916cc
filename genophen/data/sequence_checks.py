"""Sequences and texts of a data set, checked."""

from __future__ import annotations

import torch
from torch import Tensor

from genophen.contracts.sequences import SequenceData, Sequences, Text
from genophen.errors import DamagedError

_SPLITS = ("train", "validation", "test")


def check_sequences(data: SequenceData | Text, name: str) -> None:
    """Raise a DamagedError where the splits of data set `name` are not what their class promises."""
    for split_name in _SPLITS:
        split = getattr(data, split_name)
        if isinstance(data, Text):
            problem = _numbers_problem(split, 1, len(data.symbols))
            allowed = "int64 (M,), numbers below that of the symbols"
        else:
            problem = _problem(split, data) if isinstance(split, Sequences) else f"a {type(split).__name__}"
            allowed = "inputs float32 (N, T, F) or int64 (N, T), labels int64 (N,), N > 0"
        if problem:
            raise DamagedError(
                f"cannot use the {split_name} split of the data set {name}", found=problem, allowed=allowed
            )


def _problem(split: Sequences, data: SequenceData) -> str:
    inputs, labels = split.inputs, split.labels
    if not isinstance(inputs, Tensor) or not isinstance(labels, Tensor):
        return f"inputs {type(inputs).__name__}, labels {type(labels).__name__}, not tensors"
    if problem := _numbers_problem(labels, 1, len(data.class_names)):
        return f"labels: {problem}"
    if len(inputs) != len(labels):
        return f"{len(inputs)} sequences and {len(labels)} labels"
    if not inputs.is_floating_point():
        problem = _numbers_problem(inputs, 2, len(data.symbols))
        return f"inputs: {problem}" if problem else ""
    features = data.train.inputs.shape[2:]
    if inputs.dtype != torch.float32 or inputs.dim() != 3 or inputs.shape[2:] != features:
        return f"inputs {inputs.dtype} {tuple(inputs.shape)}".replace("torch.", "")
    return "" if bool(inputs.isfinite().all()) else "inputs that are not finite"


def _numbers_problem(numbers: object, axes: int, count: int) -> str:
    """What is wrong with a tensor of numbers from 0 to below `count`."""
    if not isinstance(numbers, Tensor):
        return f"a {type(numbers).__name__}"
    if numbers.dtype != torch.int64 or numbers.dim() != axes or not numbers.numel():
        return f"{numbers.dtype} {tuple(numbers.shape)}".replace("torch.", "")
    lowest, highest = int(numbers.min()), int(numbers.max())
    return "" if lowest >= 0 and highest < count else f"numbers from {lowest} to {highest} for {count}"

"""State through a checkpoint and back: nothing changed, nothing guessed, nothing unpickled."""

from __future__ import annotations

import collections
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import genophen
from genophen.storage.checkpoint import load_checkpoint, save_checkpoint
from genophen.storage.guard import GuardedPath
from genophen.storage.packing import DTYPES, pack, unpack


def through_a_file(state: Any, folder: Path) -> Any:
    tensors, packed = pack(state, "state")
    save_checkpoint(GuardedPath(folder.parent) / folder.name, "state", tensors, {"state": packed})
    loaded, values = load_checkpoint(GuardedPath(folder.parent) / folder.name)
    return unpack(loaded, values["state"])


def test_every_kind_of_value_comes_back(tmp_path: Path) -> None:
    state = {
        "none": None,
        "flags": [True, False],
        "numbers": (1, -(2**70), 0.1, -0.0, 1e300, 5e-324),
        "text": "ü\n\ud7ff\x00",
        3: {"": {}, -1: [], 0: ()},
        "tensor": {"tensor": "no tensor"},
        "last first": 1,
    }
    back = through_a_file(state, tmp_path)
    assert back == state
    assert list(back) == list(state)
    assert [type(value) for value in back["numbers"]] == [int, int, float, float, float, float]
    assert type(back["flags"][0]) is bool
    assert math.copysign(1, back["numbers"][3]) == -1
    assert type(back[3][0]) is tuple


def test_floats_that_json_lacks_come_back(tmp_path: Path) -> None:
    back = through_a_file([math.inf, -math.inf, math.nan], tmp_path)
    assert back[:2] == [math.inf, -math.inf]
    assert math.isnan(back[2])
    text = next(tmp_path.glob("*.json")).read_text()
    assert "Infinity" not in text
    json.loads((tmp_path / "state.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("dtype", sorted(DTYPES, key=str), ids=str)
def test_tensors_of_every_type_and_shape_come_back(dtype: torch.dtype, tmp_path: Path) -> None:
    for number, shape in enumerate([(), (0,), (3, 0), (1,), (2, 3)]):
        tensor = torch.arange(math.prod(shape)).reshape(shape).to(dtype)
        (back,) = through_a_file([tensor], tmp_path / str(number))
        assert back.dtype == dtype
        assert back.shape == tensor.shape
        assert torch.equal(back, tensor)


def test_bits_of_nan_and_negative_zero_come_back(tmp_path: Path) -> None:
    tensor = torch.tensor([0x7FC00001, -(2**31), 0x7F800000], dtype=torch.int32).view(torch.float32)
    (back,) = through_a_file([tensor], tmp_path)
    assert torch.equal(back.view(torch.int32), tensor.view(torch.int32))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.randn(4, 3).T,
        torch.randn(3, 8)[:, ::2],
        torch.randn(3).expand(2, 3),
    ],
    ids=["channels-last", "transposed", "strided", "expanded"],
)
def test_the_order_in_memory_is_kept_where_torch_keeps_it(tensor: torch.Tensor, tmp_path: Path) -> None:
    (back,) = through_a_file([tensor], tmp_path)
    assert torch.equal(back, tensor)
    assert back.stride() == torch.empty_like(tensor).stride()


def test_a_tensor_in_two_places_stays_one_and_views_come_apart(tmp_path: Path) -> None:
    tensor = torch.arange(4.0)
    back = through_a_file({"a": tensor, "b": [tensor], "view": tensor[1:], "whole": tensor[:]}, tmp_path)
    assert back["a"] is back["b"][0]
    assert torch.equal(back["view"], tensor[1:])
    back["whole"].zero_()
    assert torch.equal(back["a"], tensor)


def test_later_changes_do_not_reach_what_was_packed() -> None:
    tensor = torch.zeros(2)
    tensors, packed = pack([tensor], "state")
    tensor += 1
    assert torch.equal(unpack(tensors, packed)[0], torch.zeros(2))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({1, 2}, "a builtins.set"),
        (np.zeros(2), "a numpy.ndarray"),
        (np.float64(1.0), "a numpy.float64"),
        (torch.Generator(), "a torch._C.Generator"),
        (torch.zeros(2, dtype=torch.complex64), "torch.complex64"),
        (torch.eye(2).to_sparse(), "torch.sparse_coo"),
        (torch.zeros(2, device="meta"), "device meta"),
        ({(1, 2): 3}, "a key that is tuple"),
        ({True: 3}, "a key that is bool"),
        (b"pickled", "a builtins.bytes"),
        (collections.deque(), "a collections.deque"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_kept_is_named_with_its_place(value: object, found: str) -> None:
    with pytest.raises(genophen.PluginError) as caught:
        pack({"optimizer": [None, {"here": value}]}, "state")
    assert "state['optimizer'][1]['here']" in caught.value.attempted
    assert found in caught.value.found
    assert caught.value.exit_code == 5

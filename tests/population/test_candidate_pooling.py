"""Pooling of many candidates' images against torch's own, one candidate after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genophen.population.calls import _windows, call_for_all
from genophen.population.layers import Windows, max_of_windows
from genophen.population.nested import Varying

#: Axes of (P, N, C, H, W) in the order in which they lie in memory, and back.
LAYOUTS = {
    "images": ((0, 1, 2, 3, 4), (0, 1, 2, 3, 4)),
    "channels": ((0, 1, 3, 4, 2), (0, 1, 4, 2, 3)),
    "candidates": ((2, 1, 3, 4, 0), (4, 1, 0, 2, 3)),
}


def images(layout: str, height: int = 9, width: int = 7) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 2, height, width, generator=draws)
    there, back = LAYOUTS[layout]
    return x.permute(there).contiguous().permute(back)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 2), (1, 3), (9, 7)])
@pytest.mark.parametrize(("steps", "padding"), [(None, (0, 0)), ((2, 2), (0, 0)), ((1, 3), (0, 1))])
def test_the_largest_of_windows_is_torchs_to_the_bit(
    layout: str, size: tuple[int, int], steps: tuple[int, int] | None, padding: tuple[int, int]
) -> None:
    padding = (0, min(padding[1], size[1] // 2))
    x = images(layout)
    x[0, 1, 0, 2, 3], x[1, 2, 1, 4, 4], x[2, 0, 0, 0, 0] = torch.nan, torch.inf, -torch.inf
    expected = F.max_pool2d(x.flatten(0, 1), size, steps, padding).unflatten(0, x.shape[:2])
    found = max_of_windows(x, Windows(size, steps or size, padding))
    assert torch.equal(found.nan_to_num(1e9), expected.nan_to_num(1e9))


TILED: list[Callable[..., Any]] = [
    nn.MaxPool2d(2),
    nn.MaxPool2d((3, 2)),
    nn.MaxPool2d(3, stride=(3, 3), padding=0, dilation=1),
    nn.MaxPool2d(3, stride=2),
    nn.MaxPool2d(2, stride=3),
    nn.MaxPool2d(3, stride=2, padding=1),
]
OTHERS: list[Callable[..., Any]] = [
    nn.MaxPool2d(2, dilation=2),
    nn.MaxPool2d(2, ceil_mode=True),
    nn.AvgPool2d(2),
    nn.AdaptiveMaxPool2d(2),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pool", TILED + OTHERS, ids=str)
def test_every_pooling_gives_what_it_gives_each_candidate(pool: nn.Module, layout: str) -> None:
    assert (_windows(pool, (), {}) is None) == (pool in OTHERS)
    x = images(layout)
    found = call_for_all(pool, {}, (Varying(x),), {})
    torch.testing.assert_close(found.stacked, torch.stack([pool(each) for each in x]))


@pytest.mark.parametrize(
    ("rest", "settings", "tiled"),
    [
        ((2,), {}, True),
        (((2, 3),), {"stride": None}, True),
        ((2, 2), {"ceil_mode": False}, True),
        ((), {"kernel_size": 2, "stride": [2]}, True),
        ((2, 1), {}, True),
        ((2, 2, 1), {}, True),
        ((2, 2, 0, 2), {}, False),
        ((2,), {"ceil_mode": True}, False),
    ],
)
def test_pooling_as_a_function(rest: tuple[Any, ...], settings: dict[str, Any], tiled: bool) -> None:
    assert (_windows(F.max_pool2d, rest, settings) is not None) == tiled
    x, pool = images("candidates"), partial(F.max_pool2d, **settings)
    found = call_for_all(F.max_pool2d, {}, (Varying(x), *rest), settings)
    torch.testing.assert_close(found.stacked, torch.stack([pool(each, *rest) for each in x]))


def test_other_functions_are_no_tiles() -> None:
    assert _windows(torch.relu, (), {}) is None
    assert _windows(nn.AvgPool2d(2), (), {}) is None

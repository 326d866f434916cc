"""Few episodes, one by one: in Python's numbers or, where there is a C compiler, some forty times as fast."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from genophen.control.episodes import Episodes, run_in_numbers
from genophen.control.tracing import MakeController, program
from genophen.control.world import NUMBERS, World, added

#: Steps in Python's numbers that take as long as a compiler does.
WORTH = 20_000
#: Nothing that a compiler may do on its own account: no fused operations, no functions but the library's,
#: which are Python's own.
FLAGS = ("-O1", "-fno-builtin", "-ffp-contract=off", "-shared", "-fPIC")

_log = logging.getLogger("genophen.control")


def run_few(
    world: World,
    network: nn.Module,
    make: MakeController,
    weights: Mapping[str, Tensor],
    starts: Tensor,
    horizon: int,
) -> Episodes:
    """All pairs of controllers with weights (P, *shape) and starts (E, S), one after the other.

    Compiled or not, the bits are the same, so that it may change in the middle of a run. GENOPHEN_COMPILE=0
    keeps compilers out of it.
    """
    code = _code(world, network, make, weights, starts)
    if code is not None and (compiled := code.function(world, make, weights, starts)) is not None:
        return _run(compiled, world, weights, starts, horizon)
    controllers = [make(rows, NUMBERS) for rows in _rows(weights)]
    episodes = run_in_numbers(world, controllers, starts, horizon)
    if code is not None:
        code.steps += int(episodes.steps.sum())
    return episodes


class _Code:
    """C code, and what became of it."""

    def __init__(self, text: str) -> None:
        self._text = text
        #: Taken in Python's numbers until now.
        self.steps = 0
        self._function: Any = None
        self._given_up = os.environ.get("GENOPHEN_COMPILE") == "0"

    def function(
        self, world: World, make: MakeController, weights: Mapping[str, Tensor], starts: Tensor
    ) -> Any:
        """The function `run`; None where it is not worth it yet, or there is none that does the same."""
        if self._function is None and not self._given_up and self.steps >= WORTH:
            self._given_up = True
            found = _compiled(self._text)
            if found is not None and _alike(found, world, make, weights, starts):
                self._function = found
        return self._function


#: By its text: networks of one kind in one world have the same.
_KNOWN: dict[str, _Code] = {}
_CODES: WeakKeyDictionary[World, WeakKeyDictionary[nn.Module, _Code | None]] = WeakKeyDictionary()


def _code(
    world: World, network: nn.Module, make: MakeController, weights: Mapping[str, Tensor], starts: Tensor
) -> _Code | None:
    codes = _CODES.setdefault(world, WeakKeyDictionary())
    if network not in codes:
        shapes = {name: tuple(stack.shape[1:]) for name, stack in weights.items()}
        try:
            text = program(world, make, shapes, starts.shape[1])
            codes[network] = _KNOWN.setdefault(text, _Code(text))
        except Exception as error:  # what they do with symbols is their own code's affair
            _log.debug("%s is not compiled: %r", type(world).__name__, error)
            codes[network] = None
    return codes[network]


def _compiled(text: str) -> Any:
    """The function of some C code; None without a compiler, or where that does not take it."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="genophen-") as folder:
            source, library = Path(folder) / "episode.c", Path(folder) / "episode.so"
            source.write_text(text)
            command = [compiler, *FLAGS, str(source), "-o", str(library), "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=folder)
            function = ctypes.CDLL(str(library)).run
    except (OSError, subprocess.SubprocessError, AttributeError) as error:
        _log.debug("the compiler %s gave nothing: %s", compiler, error)
        return None
    function.restype = ctypes.c_longlong
    return function


def _alike(
    function: Any, world: World, make: MakeController, weights: Mapping[str, Tensor], starts: Tensor
) -> bool:
    """Whether it does to the bit what Python does, for a while."""
    rows = next(_rows(weights))
    expected = run_in_numbers(world, [make(rows, NUMBERS)], starts[:1], 200)
    found = _run(function, world, {name: stack[:1] for name, stack in weights.items()}, starts[:1], 200)
    same = all(torch.equal(a, b) for a, b in zip(vars(found).values(), vars(expected).values(), strict=True))
    if not same:
        _log.debug("%s, compiled, gives other numbers", type(world).__name__)
    return same


def _rows(weights: Mapping[str, Tensor]) -> Any:
    """Weights of one controller after the other, nested lists by name."""
    count = len(next(iter(weights.values())))
    return ({name: stack[p].tolist() for name, stack in weights.items()} for p in range(count))


def _run(
    function: Any, world: World, weights: Mapping[str, Tensor], starts: Tensor, horizon: int
) -> Episodes:
    flat = np.ascontiguousarray(torch.cat([stack.flatten(1) for stack in weights.values()], 1).numpy())
    places = starts.numpy()
    shape = (len(flat), len(places))
    steps, failed = np.zeros(shape, np.int64), np.zeros(shape, bool)
    returns, recent = np.zeros(shape), np.zeros(shape)
    ring = np.zeros(max(1, world.window))
    returned, over = ctypes.c_double(), ctypes.c_int()
    for p in range(shape[0]):
        for e in range(shape[1]):
            state = places[e].copy()
            ring[:] = 0
            steps[p, e] = function(
                _pointer(flat[p]),
                _pointer(state),
                _pointer(ring),
                ctypes.c_longlong(world.window),
                ctypes.c_longlong(horizon),
                ctypes.byref(returned),
                ctypes.byref(over),
            )
            failed[p, e], returns[p, e] = bool(over.value), returned.value
            recent[p, e] = added(ring.tolist()) if world.window else 0.0
    return Episodes(*map(torch.from_numpy, (steps, failed, returns, recent)))


def _pointer(array: np.ndarray) -> Any:
    return ctypes.c_void_p(array.ctypes.data)

"""Fast weights step by step in numbers, for controllers whose episodes run for thousands of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import Any

import genophen


def fast_weights_in_numbers(
    options: Any, network: Any, slow: Mapping[str, Any], weights: Mapping[str, Any], ops: genophen.Arithmetic
) -> Callable[..., Any]:
    """A controller of one matrix, one head, which a slow network of these weights rewrites.

    `network.reads(x)` is what the matrix's cell reads; the network runs by `network.in_numbers`. What it
    carries from step to step is the matrix, and what the network does.
    """
    own = {name.rpartition(".")[2]: value for name, value in slow.items()}
    last = options.written == "last"
    (first,) = own["first"]
    if last:
        first = [[*row, 0.0] for row in first]
    (name,) = (name for name in network.fast_weights)
    decay = options.decay if options.decay != "learned" else _sigmoid(own["decay"][0], ops)

    def key_of(seen: tuple[Any, ...]) -> list[Any]:
        if last:
            return [*[0.0] * (len(seen) - 1), 1.0]
        key = own["key"] if options.key == "constant" else _products(own["key_weight"], seen)
        if options.key_activation == "normalized":
            length = ops.sqrt(genophen.added(map(mul, key, key)))
            length = ops.where(length < 1e-12, 1e-12, length)
            return [value / length for value in key]
        if options.key_activation == "softmax":
            powers = [ops.exp(value) for value in key]
            total = genophen.added(powers)
            return [power / total for power in powers]
        return list(key)

    def change(seen: tuple[Any, ...], hidden: Any, matrix: list[list[Any]], key: list[Any]) -> list[Any]:
        read: Sequence[Any] = seen[:-1] if last else seen
        if options.values == "hidden":
            read = [0.0] * len(matrix) if hidden is None else hidden
        value = _products(own["value_weight"], read)
        if options.rule == "delta":
            value = [v - old for v, old in zip(value, _products(matrix, key), strict=True)]
        if options.write_rate == "gated":
            (row,), (bias,) = own["rate_weight"], own["rate_bias"]
            rate = _sigmoid(genophen.added(map(mul, row, seen)) + bias, ops)
            value = [v * rate for v in value]
        return value

    def kept(now: Any, at_first: Any) -> Any:
        return at_first + decay * (now - at_first) if options.decay_to == "start" else decay * now

    def act(x: tuple[Any, ...], state: Any) -> tuple[Any, Any]:
        seen = network.reads(x)
        before, hidden = (first, None) if state is None else state
        key = key_of(seen)
        after = [
            [kept(now, start) + v * k for now, start, k in zip(row, starts, key, strict=True)]
            for row, starts, v in zip(before, first, change(seen, hidden, before, key), strict=True)
        ]
        read = after if options.order == "write-read" else before
        actions, hidden = network.in_numbers({**weights, name: read}, ops)(x, hidden)
        return actions, (after, hidden)

    return act


def _products(matrix: list[list[Any]], x: Any) -> list[Any]:
    return [genophen.added(map(mul, row, x)) for row in matrix]


def _sigmoid(value: Any, ops: genophen.Arithmetic) -> Any:
    return 1 / (1 + ops.exp(-value))

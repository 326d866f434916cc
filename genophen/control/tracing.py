"""A world and its controller as straight lines of C: what they do with symbols in the place of numbers.

Both are plain arithmetic without a branch on a value (see `World`), so that calling them once on symbols
tells every operation, in its order. The C code repeats them in double precision: the same bits as Python's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from genophen.control.world import NUMBERS, Arithmetic, World

#: Makes a controller of weights, nested lists by name, and of the functions that it may use.
MakeController = Callable[[Mapping[str, Any], Arithmetic], Callable[[tuple[Any, ...], Any], tuple[Any, Any]]]


class Untraceable(Exception):  # noqa: N818  it is no error: the world is run in Python's numbers
    """What a world or a controller does cannot be told by symbols."""


class Lines:
    """The operations of one step, each in a line of its own."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.ops = Arithmetic(
            **{name: self._function(name) for name in ("sin", "cos", "tanh", "exp", "sqrt")},
            sign=lambda v: self._call(NUMBERS.sign, "({0} != 0 ? copysign(1.0, {0}) : 0.0)", v),
            clip=lambda v, low, high: self._call(
                NUMBERS.clip, "({0} < {1} ? {1} : {2} < {0} ? {2} : {0})", v, low, high
            ),
            where=self._where,
        )

    def number(self, code: str) -> Number:
        self.text.append(f"double t{len(self.text)} = {code};")
        return Number(self, f"t{len(self.text) - 1}")

    def truth(self, code: str) -> Truth:
        self.text.append(f"int t{len(self.text)} = {code};")
        return Truth(self, f"t{len(self.text) - 1}")

    def _function(self, name: str) -> Callable[[Any], Any]:
        return lambda value: self._call(getattr(NUMBERS, name), name + "({0})", value)

    def _call(self, known: Callable[..., Any], code: str, *values: Any) -> Any:
        if not any(isinstance(value, Number) for value in values):
            return known(*values)
        return self.number(code.format(*map(written, values)))

    def _where(self, condition: Any, yes: Any, no: Any) -> Any:
        if not isinstance(condition, Truth):
            return yes if condition else no
        return self.number(f"{condition.name} ? {written(yes)} : {written(no)}")


class Number:
    """A value that is known when the code runs."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, lines: Lines, name: str) -> None:
        self.lines, self.name = lines, name

    def _binary(self, sign: str, left: Any, right: Any) -> Any:
        try:
            code = f"{written(left)} {sign} {written(right)}"
        except Untraceable:
            return NotImplemented
        return self.lines.number(code) if sign in "+-*/" else self.lines.truth(code)

    def __add__(self, other: Any) -> Any:
        return self._binary("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return self._binary("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return self._binary("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._binary("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._binary("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary("/", other, self)

    def __lt__(self, other: Any) -> Any:
        return self._binary("<", self, other)

    def __le__(self, other: Any) -> Any:
        return self._binary("<=", self, other)

    def __gt__(self, other: Any) -> Any:
        return self._binary(">", self, other)

    def __ge__(self, other: Any) -> Any:
        return self._binary(">=", self, other)

    def __eq__(self, other: Any) -> Any:
        return self._binary("==", self, other)

    def __ne__(self, other: Any) -> Any:
        return self._binary("!=", self, other)

    def __neg__(self) -> Number:
        return self.lines.number(f"-{self.name}")

    def __pos__(self) -> Number:
        return self

    def __abs__(self) -> Number:
        return self.lines.number(f"fabs({self.name})")

    def __bool__(self) -> bool:
        raise Untraceable


class Truth:
    """A condition that is known when the code runs."""

    def __init__(self, lines: Lines, name: str) -> None:
        self.lines, self.name = lines, name

    def __and__(self, other: Any) -> Truth:
        return self.lines.truth(f"{self.name} & {written_truth(other)}")

    def __or__(self, other: Any) -> Truth:
        return self.lines.truth(f"{self.name} | {written_truth(other)}")

    __rand__, __ror__ = __and__, __or__

    def __bool__(self) -> bool:
        raise Untraceable


def written(value: Any) -> str:
    """A symbol's name, or a number to its last bit."""
    if isinstance(value, Number):
        return value.name
    if isinstance(value, int | float) and abs(value) < float("inf"):
        return f"({float(value).hex()})"
    raise Untraceable


def written_truth(value: Any) -> str:
    if isinstance(value, Truth):
        return value.name
    if isinstance(value, bool):
        return str(int(value))
    raise Untraceable


def program(world: World, make: MakeController, shapes: Mapping[str, Sequence[int]], state: int) -> str:
    """The C code of episodes in a world of `state` numbers, with controllers of weights of these shapes.

    It has one function, `run`, of one episode: weights in, state, memory, a ring of the last signals and its
    length, the horizon; returns the steps, and writes the return and whether the episode failed.

    Raises:
        Untraceable: or whatever the world's or the controller's own code raises on symbols.
    """
    first, memory = _step("first", world, make, shapes, state, None)
    later, after = _step("later", world, make, shapes, state, memory)
    if _shape(memory) != _shape(after):
        raise Untraceable
    return "\n".join([_HEAD, first, later, _LOOP.replace("MEMORY", str(max(1, len(_leaves(memory)))))])


_HEAD = "#include <math.h>\n"
_LOOP = """
long long run(const double *w, double *s, double *recent, long long window, long long horizon,
              double *returned, int *failed) {
  double m[MEMORY], r = 0, g = 0, sum = 0;
  for (long long step = 0; step < horizon; ++step) {
    int alive = step ? later(w, s, m, &r, &g) : first(w, s, m, &r, &g);
    sum += r;
    if (!alive) { *returned = sum; *failed = 1; return step + 1; }
    if (window) recent[step % window] = g;
  }
  *returned = sum; *failed = 0;
  return horizon;
}
"""


def _step(
    name: str,
    world: World,
    make: MakeController,
    shapes: Mapping[str, Sequence[int]],
    state_size: int,
    memory: Any,
) -> tuple[str, Any]:
    """One step as a C function, and the memory after it."""
    lines, used = Lines(), 0
    weights = {}
    for key, shape in shapes.items():
        weights[key], used = _reading(lines, "w", shape, used)
    state = tuple(lines.number(f"s[{i}]") for i in range(state_size))
    held = iter([lines.number(f"m[{i}]") for i in range(len(_leaves(memory)))])
    action, memory = make(weights, lines.ops)(world.observe(state, lines.ops), _mapped(memory, held))
    action = tuple(action)
    after = world.advance(state, action, lines.ops)
    reward = written(world.reward(state, action, after, lines.ops))
    alive = written_truth(world.alive(after, lines.ops))
    signal = written(world.signal(after, lines.ops)) if world.window else "0"
    if len(after) != state_size:
        raise Untraceable
    results = [f"s[{i}] = {written(value)};" for i, value in enumerate(after)]
    results += [f"m[{i}] = {written(value)};" for i, value in enumerate(_leaves(memory))]
    results += [f"*r = {reward}; *g = {signal}; return {alive};"]
    body = "\n".join(f"  {line}" for line in [*lines.text, *results])
    head = f"static int {name}(const double *w, double *s, double *m, double *r, double *g) {{"
    return f"{head}\n{body}\n}}\n", memory


def _reading(lines: Lines, array: str, shape: Sequence[int], at: int) -> tuple[Any, int]:
    """Nested lists of what an array holds from a place on, row by row, and the place after it."""
    if not shape:
        return lines.number(f"{array}[{at}]"), at + 1
    values = []
    for _ in range(shape[0]):
        value, at = _reading(lines, array, shape[1:], at)
        values.append(value)
    return values, at


def _parts(value: Any) -> Iterable[Any] | None:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list | tuple) else None


def _leaves(value: Any) -> list[Any]:
    """The numbers of a memory, in order."""
    parts = _parts(value)
    if parts is None:
        return [] if value is None else [value]
    return [leaf for part in parts for leaf in _leaves(part)]


def _mapped(value: Any, leaves: Any) -> Any:
    """A memory like this one, of other numbers."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {key: _mapped(part, leaves) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(part, leaves) for part in value)
    return next(leaves)


def _shape(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shape(part) for key, part in value.items()}
    return [_shape(part) for part in value] if isinstance(value, list | tuple) else value is None

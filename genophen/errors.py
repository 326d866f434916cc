"""What genophen raises. Each class carries the exit code with which the command ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypedDict


class GenophenError(Exception):
    """An error in four parts: what was attempted, the value seen, what is allowed, the next step."""

    exit_code = 1

    def __init__(self, attempted: str, *, found: str = "", allowed: str = "", next_step: str = "") -> None:
        self.attempted = attempted
        self.found = found
        self.allowed = allowed
        self.next_step = next_step
        super().__init__(self.text())

    def text(self) -> str:
        """The message as it is shown, one part a line; parts that were not given are left out."""
        parts = [("found", self.found), ("allowed", self.allowed), ("next", self.next_step)]
        lines = [self.attempted, *(f"  {name + ':':<9}{part}" for name, part in parts if part)]
        return printable("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own pickling would call the class with the message alone and lose the parts.
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(cls: type[GenophenError], state: dict[str, object]) -> GenophenError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    error.args = (error.text(),)
    return error


@dataclass(frozen=True)
class Problem:
    """One mistake in a config: the dotted key, the value seen, what is allowed there, what to do."""

    key: str
    found: str = ""
    allowed: str = ""
    next_step: str = ""

    def __str__(self) -> str:
        details = [self.found, f"allowed: {self.allowed}" if self.allowed else "", self.next_step]
        return one_line(f"{self.key}: " + "; ".join(detail for detail in details if detail))


class ConfigError(GenophenError):
    """A config, option or command-line value that cannot be used. Lists every problem found."""

    exit_code = 2

    def __init__(
        self,
        attempted: str,
        *,
        problems: Sequence[Problem] = (),
        found: str = "",
        allowed: str = "",
        next_step: str = "",
    ) -> None:
        self.problems = tuple(problems)
        super().__init__(attempted, found=found, allowed=allowed, next_step=next_step)

    def text(self) -> str:
        """The four parts, and under them one line a problem."""
        return "\n".join([super().text(), *(f"  - {problem}" for problem in self.problems)])


class DamagedError(GenophenError):
    """A checkpoint or data file that is not what its checksum or format says."""

    exit_code = 4


class PluginError(GenophenError):
    """A plugin that is absent, cannot be loaded or breaks its contract."""

    exit_code = 5
    #: Whether these are the words of whoever raised it, not those for an exception that nobody foresaw.
    foreseen = True


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception says that no memory is left: Python's own, or torch's, of a CPU or a GPU."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error.args)


def no_memory(error: BaseException) -> GenophenError:
    """The error about a lack of memory, wherever it was noticed."""
    return GenophenError(
        "cannot go on without more memory",
        found=one_line(f"{type(error).__name__}: {error}"),
        next_step="a smaller training.batch_size, network or population, or less beside it on this machine; "
        "a run that has saved a checkpoint goes on with `genophen resume`",
    )


def nearest_name(word: str, known: Iterable[str]) -> str | None:
    """The known name most like `word`, or the only one that begins with it; None where none is near."""
    folded = {name.casefold(): name for name in known}
    begun = [name for name in folded if word and name.startswith(word.casefold())]
    matches = begun if len(begun) == 1 else get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean ...?` with the nearest known name, or an empty string where none is near."""
    name = nearest_name(word, known)
    return "" if name is None else f"did you mean {name}?"


def printable(text: str) -> str:
    """The text with escapes in place of what would steer a terminal or cannot be shown."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def one_line(text: str) -> str:
    """The text as one printable line."""
    return printable(" ".join(text.split()))


def _escape(character: str) -> str:
    # As TOML and JSON write it, so that a config that is printed can be read back.
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class NameParts(TypedDict):
    """The three parts of an error about a name."""

    found: str
    allowed: str
    next_step: str


def unknown_name(what: str, known: Sequence[str], name: str, otherwise: str = "") -> NameParts:
    """The parts of the error about a name that no `what` has: what is known, and the nearest or a way out."""
    return {
        "found": f"no {what} of that name",
        "allowed": ", ".join(known) or "(none)",
        "next_step": nearest(name, known) or otherwise,
    }


def counted(number: int, thing: str) -> str:
    """`1 round`, `2 rounds`: a number with what it counts."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """So many seconds in words, to two places: `45 s`, `3 min`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def listed(names: Iterable[str]) -> str:
    """The names in order, comma-separated; `(none)` for an empty list."""
    return ", ".join(sorted(names)) or "(none)"

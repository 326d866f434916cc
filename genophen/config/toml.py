"""TOML in and out: reading with limits, overriding by dotted keys, writing plain tables."""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from genophen.errors import ConfigError, Problem, nearest_name
from genophen.storage.files import read_file
from genophen.storage.guard import GuardedPath

#: A config is a page or two; the parser needs time that grows faster than the file.
MAX_BYTES = 64 * 1024
MAX_DEPTH = 20
#: What a TOML integer is sure to hold; Python would read any number of digits, and then fail to print it.
INTEGERS = range(-(2**63), 2**63)
_OUTSIDE = re.compile(r"""\"{3}|'{3}|[\[\]{}=,."'\#\n]""")
#: How a string or comment ends, by how it began. Escapes count in \"...\" alone.
_ENDS = {
    '"': re.compile(r'\\.|"|\n', re.DOTALL),
    "'": re.compile(r"'|\n"),
    '"""': re.compile(r'\\.|"{3,5}', re.DOTALL),
    "'''": re.compile(r"'{3,5}"),
    "#": re.compile(r"\n"),
}


def read_toml(path: Path | GuardedPath) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: for a file that cannot be read, is no TOML, or is larger or deeper than any config.
    """
    attempted = f"cannot read the config {path}"
    try:
        content = read_file(path, MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL character
        raise ConfigError(
            attempted,
            found=getattr(error, "strerror", None) or str(error),
            allowed="" if isinstance(error, FileNotFoundError) else f"a file of up to {MAX_BYTES:,} bytes",
            next_step=_instead(path if isinstance(path, Path) else path.path),
        ) from None
    try:
        text = content.decode("utf-8-sig")  # Windows' editors may put a byte order mark first
    except UnicodeDecodeError as error:
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise ConfigError(
            attempted,
            found="UTF-16" if utf16 else f"byte {error.start} is not UTF-8",
            allowed="UTF-8 text",
            next_step="save it as UTF-8 in your editor",
        ) from None
    return parse_toml(text, attempted)


def _instead(path: Path) -> str:
    """What to do where no config can be read at a path."""
    if (path / "config.toml").is_file():
        return (
            f"it is a run directory: `genophen resume {path}` goes on with it, "
            f"`genophen run {path}/config.toml` trains the same again"
        )
    folder = path if path.is_dir() else path.parent
    there = sorted(file.name for file in folder.glob("*.toml") if file != path)[:10]
    if path.is_dir():
        return f"name a file in it: {', '.join(there)}" if there else "name a TOML file"
    hint = nearest_name(path.name, there)
    if hint is not None:
        return f"did you mean {folder / hint}?"
    return "check the path; `genophen examples` lists configs to begin with, and copies them"


def _line(text: str, error: ValueError) -> str:
    """The line that the parser stopped at, as the next step: tomllib names its number alone."""
    place = re.search(r"at line (\d+)", str(error))
    if place is None:
        return ""
    line = text.split("\n")[int(place[1]) - 1].strip()
    quotes = ' (text needs quotes: "...")' if "Invalid value" in str(error) else ""
    return f"mend line {place[1]}: {line[:80]}{quotes}"


def parse_toml(text: str, attempted: str) -> dict[str, Any]:
    """The tables of a TOML text; `attempted` begins the error message.

    Raises:
        ConfigError: for a text that is no TOML or nests deeper than any config.
    """
    if _too_deep(text):
        raise ConfigError(
            attempted, found="keys or arrays nested too deep", allowed=f"depth below {MAX_DEPTH}"
        )
    try:
        text.encode()  # an argument of the command line need not be Unicode
        tables = tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(attempted, found=f"no valid TOML: {error}", next_step=_line(text, error)) from None
    except RecursionError:
        raise ConfigError(attempted, found="keys or arrays nested too deep") from None
    if problems := list(_integers_too_large(tables, "")):
        raise ConfigError(attempted, problems=problems)
    return tables


def _too_deep(text: str) -> bool:
    """Whether brackets nest too deep or a key has too many dots, outside of strings and comments."""
    depth = dots = position = 0
    while match := _OUTSIDE.search(text, position):
        token, position = match.group(), match.end()
        if token in _ENDS:
            position = _after(text, position, _ENDS[token])
        elif token in "[{":
            depth, dots = depth + 1, 0
        elif token == ".":
            dots += 1
        else:
            depth, dots = depth - (token in "]}"), 0
        if depth > MAX_DEPTH or dots > MAX_DEPTH:
            return True
    return False


def _after(text: str, position: int, end: re.Pattern[str]) -> int:
    """Where the string or comment that goes on at a position is over."""
    while match := end.search(text, position):
        position = match.end()
        if match.group()[0] != "\\":
            return position
    return len(text)


def _integers_too_large(value: object, key: str) -> Iterator[Problem]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _integers_too_large(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for item in value:
            yield from _integers_too_large(item, key)
    elif isinstance(value, int) and value not in INTEGERS:
        yield Problem(key, f"an integer of {value.bit_length()} bits", "integers of 64 bits")


def override(tables: dict[str, Any], assignments: Iterable[str]) -> None:
    """Apply assignments `a.b=VALUE` to the tables, in order: VALUE as TOML, or bare text that is none.

    Raises:
        ConfigError: for an assignment that is not of that form, or goes below a value that is no table.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(re.fullmatch(r"[\w-]+", part) for part in parts):
            raise ConfigError(
                f"cannot apply --set {assignment!r}",
                found="no assignment",
                allowed="a.b=VALUE, with VALUE as in a TOML file: 3, 0.5, true, text, [1, 2]",
            )
        assign(tables, parts, _value(text, assignment, key.strip()))


def assign(tables: dict[str, Any], parts: list[str], value: object) -> None:
    """Set `tables[a][b]...` for parts `[a, b, ...]`, making tables on the way."""
    for depth, part in enumerate(parts[:-1]):
        tables = tables.setdefault(part, {})
        if not isinstance(tables, dict):
            raise ConfigError(
                f"cannot set {'.'.join(parts)}",
                found=f"{'.'.join(parts[: depth + 1])} is the value {tables!r}, not a table",
            )
    tables[parts[-1]] = value


def _value(text: str, assignment: str, key: str) -> object:
    attempted = f"cannot apply --set {assignment!r}"
    try:
        parsed = parse_toml(f"value = {text.strip()}", attempted)
    except ConfigError as error:
        if _is_bare(text.strip()):
            return text.strip()  # where the setting is no text, its own check says so
        quoted = json.dumps(text.strip(), ensure_ascii=False)
        raise ConfigError(
            attempted,
            found=f"the value {text.strip()!r} is not TOML ({_reason(error)})",
            allowed="3, 0.5, true, text, [1, 2]",
            next_step=f"text like this needs quotes, and the shell takes one pair: --set '{key}={quoted}'",
        ) from None
    if set(parsed) != {"value"}:
        raise ConfigError(attempted, found="more than one value", allowed="one value an assignment")
    return parsed["value"]


def _is_bare(text: str) -> bool:
    """Whether a value that is no TOML is meant as text: it does not begin like something else of TOML's."""
    return bool(text) and text.isprintable() and text[0] not in "\"'[{#=" and " #" not in text


def flattened(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested tables by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        flat |= (
            flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
        )
    return flat


def _reason(error: ConfigError) -> str:
    return error.found.removeprefix("no valid TOML: ") or "; ".join(map(str, error.problems))


def write_toml(tables: Mapping[str, Any], prefix: str = "") -> str:
    """TOML text for tables of what TOML knows, and of paths; None is left out."""
    values = {k: v for k, v in tables.items() if v is not None and not isinstance(v, Mapping)}
    lines = [f"{_key(key)} = {_literal(value)}" for key, value in values.items()]
    text = "".join(f"{line}\n" for line in lines)
    for key, table in tables.items():
        if isinstance(table, Mapping):
            name = f"{prefix}{_key(key)}"
            inner = write_toml(table, f"{name}.")
            text += f"\n[{name}]\n{inner}"
    return text


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _string(text: str) -> str:
    # JSON's escapes are TOML's, except that TOML wants DEL escaped too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if isinstance(value, Mapping):
        inner = ", ".join(
            f"{_key(key)} = {_literal(item)}" for key, item in value.items() if item is not None
        )
        return f"{{ {inner} }}"
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, str | Path):
        return _string(str(value))
    raise TypeError(f"cannot write {type(value).__name__} as TOML")

"""Hostile input: configs, overrides and sweep files as nobody in their right mind would write them."""

from __future__ import annotations

import datetime
import json
import re
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import Any

from conftest import ROOT
from helpers import digits_tables
from hypothesis import strategies as st

from genophen.cli import main
from genophen.config.config import PLUGIN_KINDS, SECTIONS
from genophen.plugins.loading import load_plugins


@dataclass
class Answer:
    """What a user gets from the command."""

    code: int
    out: str
    err: str
    #: Of the processor: the clock on the wall would measure what else the machine is doing.
    seconds: float


def ask(*arguments: object) -> Answer:
    """Run the command in this process."""
    out, err = StringIO(), StringIO()
    started = time.process_time()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    return Answer(int(code or 0), out.getvalue(), err.getvalue(), time.process_time() - started)


def check_answer(answer: Answer, codes: tuple[int, ...] = (0, 2)) -> None:
    """The command said what is wrong, in printable words, within a second."""
    assert answer.code in codes, answer
    assert "Traceback" not in answer.err, answer
    assert "should not happen" not in answer.err, answer
    assert answer.code == 0 or re.search("^(Error|Usage): ", answer.err, re.MULTILINE), answer
    assert is_harmless(answer.out + answer.err), answer
    assert answer.seconds < 1, answer


def is_harmless(text: str) -> bool:
    """Whether a terminal shows the text as it stands: no control character but line ends and tabs."""
    return all(character in "\n\t" or character.isprintable() for character in text)


_BOUNDS = [0, -1, 1, 2, 3, 10, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**9, 10**18, 10**30, -(10**30)]
_FLOATS = [0.0, -0.0, 1e-320, 1e308, 0.5, 1.0, 5e-324, float("nan"), float("inf")]
_WORDS = [
    "",
    " ",
    ".",
    "..",
    "../../x",
    "/",
    "/dev/null",
    "\x00",
    "a\x00b",
    "\x1b[31mred",
    "[bold]x",
    "~",
    "%s",
]
_WORDS += [
    "\u202edrow",
    "\uff41dam",
    "Adam",
    "adam ",
    "name",
    "{0}",
    "\r",
    "\u200b",
    "$\\frac",
    "é" * 200,
    "x" * 5000,
]
_WORDS += ["cpu:99", "cuda:0", "cuda:99999999999999999999", "meta", "mps", "~nobody"]

ODD_TEXT = st.one_of(st.sampled_from(_WORDS), st.text(max_size=20))
_LEAVES = st.one_of(
    st.sampled_from([*_BOUNDS, *_FLOATS]),
    st.integers(),
    st.floats(),
    st.booleans(),
    ODD_TEXT,
    st.one_of(st.dates(), st.times(), st.datetimes()),
)
_NESTED = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD_TEXT, inner, max_size=3)
)
ODD_VALUES = st.one_of(_LEAVES, _LEAVES, _NESTED)
#: Values that many keys take, and some that would need more memory than there is.
USUAL = st.sampled_from([1, 3, 3, 16, 2000, 10**6, 10**9, 10**12, 0.5, 0.25, 1e-9, 1e9, True, False, "auto"])


@cache
def known_keys() -> list[tuple[str, ...]]:
    """Every key that a config can have, sections and tables of plugins included."""
    plugins = load_plugins()
    keys: list[tuple[str, ...]] = []
    for section, settings in SECTIONS.items():
        keys += [(section, name) for name in settings.model_fields]
    for kind in PLUGIN_KINDS:
        keys.append((kind, "name"))
        for name in plugins.names(kind):
            keys += [(kind, name, field) for field in plugins.options(kind, name).model_fields]
    return keys


@cache
def allowed_values() -> dict[tuple[str, ...], list[str]]:
    """Names and choices that a key takes, so that some generated configs get past the reading."""
    plugins = load_plugins()
    found = {(kind, "name"): plugins.names(kind) for kind in PLUGIN_KINDS}
    found["training", "precision"] = ["float32", "bfloat16"]
    found["training", "memory_format"] = ["auto", "contiguous", "channels-last"]
    found["training", "device"] = ["auto", "cpu"]
    return found


@st.composite
def config_tables(draw: st.DrawFn) -> dict[str, Any]:
    """A good config with up to six changes, most of them to keys that exist."""
    tables: dict[str, Any] = digits_tables()
    for _ in range(draw(_CHANGES)):
        key, oddity = draw(_KEYS), draw(_ODDITY)
        if oddity == 0:  # a key that does not exist
            key = (*key[:-1], draw(ODD_TEXT))
        elif oddity == 1:  # a value where a table should be
            key = key[:-1]
        usual = st.sampled_from(allowed_values()[key]) if key in allowed_values() else USUAL
        value = draw(ODD_VALUES if oddity < 5 else usual)
        table = tables
        for part in key[:-1]:
            if not isinstance(table.get(part), dict):
                table[part] = {}
            table = table[part]
        table[key[-1]] = value
    return tables


_CHANGES = st.sampled_from([0, 1, 1, 2, 2, 3, 6])
_KEYS = st.deferred(lambda: st.sampled_from(known_keys()))
_ODDITY = st.integers(0, 20)


def as_toml(tables: dict[str, Any]) -> str:
    """TOML text of anything that TOML can say, dates included; one inline table a section."""
    return "".join(f"{_quoted(key)} = {_literal(value)}\n" for key, value in tables.items())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return _quoted(value) if isinstance(value, str) else repr(value)


#: What damages a file: other encodings, unfinished strings and tables, numbers beyond all bounds, depth.
FRAGMENTS = [
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\x1b[2J", b"\xed\xa0\x80", "\u2028".encode()),
    *(b'"', b'"""', b"'''", b"[", b"]]", b"{", b"}", b"=", b".", b"#", b"\n", b","),
    *(b"1e999", b"0x" + b"f" * 6000, b"9" * 5000, b"-0", b"nan", b"1979-05-27", b"25:61:61", b"+inf"),
    *(b"a." * 300 + b"b = 1\n", b"a = " + b"[" * 3000, b"a = " + b"{b=" * 500, b"x" * 70_000),
    *(b"[dataset]\n", b"[[dataset]]\n", b'name = "digits"\n', b"\n[training.seed.x]\n", b"\\u0000", b"\\"),
]


@st.composite
def damaged_examples(draw: st.DrawFn) -> bytes:
    """The bytes of an example, cut, spliced and overwritten in a few places; sometimes no TOML at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    content = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 0, 1, 5, 50]))
        fragment = draw(st.sampled_from(FRAGMENTS) | st.binary(max_size=8))
        content = content[:start] + fragment + content[start + length :]
    return content


#: Those of which a dry run reads no data set that would have to be downloaded, for its shapes.
EXAMPLES = [
    file.read_bytes()
    for file in sorted((ROOT / "examples").glob("*.toml"))
    if file.stem not in ("shakespeare", "sequential_mnist")
]


#: `--set` with odd keys, odd values and no TOML at all.
ASSIGNMENTS = (
    st.builds(
        "{}={}".format,
        _KEYS.map(".".join) | ODD_TEXT,
        st.one_of(ODD_VALUES.map(_literal), ODD_TEXT, st.sampled_from(FRAGMENTS).map(repr)),
    )
    | ODD_TEXT
)


@st.composite
def sweep_tables(draw: st.DrawFn) -> dict[str, Any]:
    """A sweep with a few keys changed, of the sweep or of the configs in it."""
    tables: dict[str, Any] = {"config": digits_tables(), "rows": {"one": {}, "two": {}}}
    for _ in range(draw(_CHANGES)):
        key = draw(
            st.sampled_from(["name", "title", "base", "config", "seeds", "rows", "grid", "row", "odd"])
        )
        if key == "row":
            rows = tables["rows"] if isinstance(tables["rows"], dict) else {}
            parts = ["training", "optimizer", "published", "seeds", "odd"]
            row = draw(st.dictionaries(st.sampled_from(parts), ODD_VALUES, max_size=2))
            tables["rows"] = {**rows, draw(ODD_TEXT): row}
        elif key == "grid":
            axes = draw(st.dictionaries(_KEYS.map(".".join), st.lists(ODD_VALUES, max_size=3), max_size=2))
            tables["grid"] = axes
        elif key == "config":
            tables["config"] = draw(config_tables())
        else:
            tables[draw(ODD_TEXT) if key == "odd" else key] = draw(ODD_VALUES)
    return tables

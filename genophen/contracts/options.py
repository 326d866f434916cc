"""The base of every plugin's settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, ValidationError
from pydantic_core import ErrorDetails

from genophen.errors import ConfigError, Problem, nearest

OptionsT = TypeVar("OptionsT", bound="Options")


def _without_nul(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path without a NUL character")
    return path


#: A setting that names a file or folder. Relative ones are resolved as the config is read: against the
#: working directory, in a data set's settings first against the data directory.
PathOption = Annotated[Path, Strict(False), AfterValidator(_without_nul)]


class Options(BaseModel):
    """Settings of one plugin: typed fields, each with a default and a description.

    Unknown keys, values of another type, NaN and infinity are rejected. An instance does not change.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def read_options(cls: type[OptionsT], values: Mapping[str, Any], where: str) -> OptionsT:
    """Validate `values` as options of class `cls`; `where` is the dotted key that they stand under.

    Raises:
        ConfigError: with one problem for each key that is unknown or has an impossible value.
    """
    problems = [
        Problem(f"{where}.{key}", f"found {shown(value)}", "text in UTF-8", _NO_UTF8)
        for key, value in values.items()
        if not _is_utf8(value)
    ]
    if problems:
        raise ConfigError(f"cannot use the settings under {where}", problems=problems)
    try:
        # As JSON: its types are TOML's, so that a list is good for a tuple or a set, and text for a path.
        return cls.model_validate_json(json.dumps(dict(values), default=str))
    except ValidationError as error:
        problems = [_problem(detail, cls, where) for detail in error.errors(include_url=False)]
        raise ConfigError(f"cannot use the settings under {where}", problems=problems) from None


def with_absolute_paths(options: OptionsT, data_dir: Path | None) -> OptionsT:
    """The options with every relative path resolved: below `data_dir` if it exists there, else from here.

    Raises:
        ConfigError: for a path that a config file cannot hold.
    """
    resolved: dict[str, Path] = {}
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, Path) and not value.is_absolute():
            below = None if data_dir is None else data_dir / value
            value = below if below is not None and below.exists() else value.absolute()
            resolved[name] = value
        if isinstance(value, Path) and not _is_utf8(value):
            raise ConfigError(
                f"cannot keep the setting {name} in a config",
                found=str(value),
                allowed="a path in UTF-8",
                next_step=_NO_UTF8,
            )
    return options.model_copy(update=resolved) if resolved else options


_NO_UTF8 = "rename the file or folder, or reach it by a link"


def _is_utf8(value: object) -> bool:
    """Whether a setting can be written in a config file, as paths and arguments of any bytes cannot."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _problem(detail: ErrorDetails, cls: type[Options], where: str) -> Problem:
    path = ".".join(str(part) for part in detail["loc"])
    key = ".".join(part for part in (where, path) if part)
    if detail["type"] == "extra_forbidden":
        hint = nearest(path, cls.model_fields)
        known = "" if hint else ", ".join(cls.model_fields) or "(no settings)"
        return Problem(key, found="unknown key", allowed=known, next_step=hint)
    if detail["type"] == "missing":
        return Problem(key, found="is missing", next_step=f"give it a value: --set '{key}=VALUE'")
    found = f"found {shown(detail['input'])}"
    if detail["type"] in ("string_type", "path_type") and isinstance(detail["input"], int | float):
        hint = f"text that looks like a number needs quotes: --set '{key}=\"{detail['input']}\"'"
        return Problem(key, found=found, allowed="text", next_step=hint)
    return Problem(key, found=found, allowed=_sentence(detail))


def _sentence(detail: ErrorDetails) -> str:
    """pydantic's own message, less its lead-in: `a valid integer`, `greater than 0`."""
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return message[:1].lower() + message[1:]


def shown(value: object, limit: int = 80) -> str:
    """A value as an error message quotes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."

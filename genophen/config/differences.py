"""What differs between the settings of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genophen.config.config import Config
from genophen.config.toml import flattened
from genophen.contracts.options import Options
from genophen.errors import Problem
from genophen.storage.older import settings_of_today


def differences(before: Mapping[str, Any], config: Config) -> list[Problem]:
    """What differs in a config from earlier settings (see `Config.settings`), perhaps of an older version.

    A setting that the older version did not have counts where it is not at its default.
    """
    before, now = settings_of_today(before), config.settings()
    not_default = _not_default(config)
    return [
        Problem(key, f"{before.get(key)!r} there, {now.get(key)!r} now")
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and (key in before or key in not_default)
    ]


def _not_default(config: Config) -> set[str]:
    """Dotted keys of the settings that are not at their defaults."""
    sections: dict[str, Options] = {
        "dataset": config.data,
        "augmentation": config.augmentation,
        "training": config.training,
    }
    keys = {f"{kind}.name" for kind in config.choices()}
    for kind, choice in config.choices().items():
        sections[f"{kind}.{choice.name}"] = choice.options
    for prefix, options in sections.items():
        given = options.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        keys |= set(flattened(given, f"{prefix}."))
    return keys

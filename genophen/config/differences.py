"""What differs between the settings of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genophen.errors import Problem
from genophen.storage.older import settings_of_today


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Problem]:
    """What differs between two `Config.settings()`, either of them perhaps of an older version."""
    before, now = settings_of_today(before), settings_of_today(now)
    return [
        Problem(key, f"{before.get(key)!r} there, {now.get(key)!r} now")
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]

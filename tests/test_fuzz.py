"""Generated configs: each is accepted or refused with exit code 2, within a second, without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from hostile import ASSIGNMENTS, as_toml, ask, check_answer, config_tables, damaged_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: The default suite takes always the same examples; the long run draws new ones each time.
FEW = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MANY = settings(FEW, max_examples=5_000, derandomize=False)


def check_config(content: bytes) -> None:
    Path("config.toml").write_bytes(content)
    check_answer(ask("run", "config.toml", "--dry-run"))


@FEW
@given(config_tables())
def test_odd_values_are_answered(tables: dict) -> None:
    check_config(as_toml(tables).encode())


@FEW
@given(damaged_examples())
def test_damaged_files_are_answered(content: bytes) -> None:
    check_config(content)


@pytest.mark.slow
@MANY
@given(config_tables())
def test_5000_configs_of_odd_values_are_answered(tables: dict) -> None:
    check_config(as_toml(tables).encode())


@pytest.mark.slow
@MANY
@given(damaged_examples())
def test_5000_damaged_files_are_answered(content: bytes) -> None:
    check_config(content)


@FEW
@given(st.lists(ASSIGNMENTS, min_size=1, max_size=3))
def test_odd_overrides_are_answered(given_assignments: list[str]) -> None:
    options = [part for assignment in given_assignments for part in ("--set", assignment)]
    check_answer(ask("run", ROOT / "examples" / "digits.toml", "--dry-run", *options))

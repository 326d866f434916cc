"""The benchmarks' code runs; what it measures is not looked at here."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT


@pytest.mark.filterwarnings("ignore")  # DataLoader workers fork a process that has threads
def test_the_contestants_take_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, "benchmarks", raising=False)
    from benchmarks.training_round import CASES, contestants

    for step in contestants(CASES[0], images=600).values():
        step()

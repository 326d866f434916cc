"""The benchmarks' code runs; what it measures is not looked at here."""

from __future__ import annotations

import sys

import pytest
import torch
from conftest import ROOT


@pytest.mark.filterwarnings("ignore")  # DataLoader workers fork a process that has threads
def test_the_contestants_take_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, "benchmarks", raising=False)
    from benchmarks.training_round import CASES, contestants

    for step in contestants(CASES[0], images=600).values():
        step()


@pytest.mark.parametrize("scope", ["embeddings", "genotype"])
@pytest.mark.filterwarnings("ignore")  # evotorch's
def test_the_contestants_find_the_same_losses(monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, "benchmarks", raising=False)
    from benchmarks.population import contestants

    with torch.no_grad():
        losses = {name: evaluate() for name, evaluate in contestants(scope, 6, images=20).items()}
    for name, values in losses.items():
        torch.testing.assert_close(values, losses["loop"], rtol=1e-4, atol=1e-4, msg=name)

"""What the command sets for its process: bounds for waiting threads, unless the user has set some."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SETTINGS = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")


def waiting(**own: str) -> str:
    """How `genophen` has its threads wait, in a process of its own with some environment variables."""
    code = "from genophen.cli.process import *; prepare_process(); print(waiting())"
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS} | own
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_command_bounds_how_long_threads_spin() -> None:
    assert waiting() == "GOMP_SPINCOUNT=10000, KMP_BLOCKTIME=1"


@pytest.mark.parametrize("name", SETTINGS)
def test_the_users_own_setting_goes_before(name: str) -> None:
    assert waiting(**{name: "7"}) == f"{name}=7"

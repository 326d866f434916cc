"""The command's output where nobody takes it, and what gets into it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import digits_tables
from test_crashes import Command, config_file
from test_signals import odd_command

import genophen
from genophen.config.toml import write_toml

NOWHERE = ["pipe", "terminal", "/dev/full"]


@pytest.mark.parametrize("place", NOWHERE)
def test_a_run_goes_on_when_nobody_takes_its_progress(place: str, tmp_path: Path) -> None:
    code, out, _ = Command(tmp_path, "run", config_file(tmp_path, "adam"), "--out", "run", err=place).end()
    assert code == 0
    assert "test accuracy" in out
    assert genophen.Run.load("run")["rounds"] == 6


@pytest.mark.parametrize("place", NOWHERE)
def test_a_runs_summary_may_be_lost(place: str, tmp_path: Path) -> None:
    config = config_file(tmp_path, "adam")
    code, _, _ = Command(tmp_path, "run", config, "--out", "run", out=place, err=place).end()
    assert code == 0
    assert genophen.Run.load("run").status == "completed"


@pytest.mark.parametrize(
    ("place", "why"),
    [("pipe", "Broken pipe"), ("terminal", "Input/output error"), ("/dev/full", "No space left on device")],
)
def test_json_that_is_lost_is_a_failure_and_the_run_is_saved(place: str, why: str, tmp_path: Path) -> None:
    config = config_file(tmp_path, "adam")
    code, _, errors = Command(tmp_path, "run", config, "--out", "run", "--json", out=place).end()
    assert code == 1
    assert f"Error: cannot write the output\n  found:   {why}\n" in errors
    assert genophen.Run.load("run").status == "completed"


@pytest.mark.parametrize(("redirection", "code"), [("2>&-", 0), (">&-", 1), ("<&- >&- 2>&-", 1)])
def test_closed_streams(redirection: str, code: int, tmp_path: Path) -> None:
    Path("digits.toml").write_text(write_toml(digits_tables(rounds=1)))
    command = [sys.executable, "-m", "genophen", "run", "digits.toml", "--out", "run", "--json"]
    shell = f"{shlex.join(command)} {redirection}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert genophen.Run.load("run").status == "completed"
    if not code:
        assert json.loads(done.stdout)["status"] == "completed"


def test_what_a_plugin_prints_below_python_keeps_out_of_the_data(tmp_path: Path) -> None:
    code, out, errors = odd_command(tmp_path, "print", 0, "--json")
    assert code == 0
    assert json.loads(out)["status"] == "completed"
    assert "printed below Python\n" in errors
    assert "printed by Python\n" in errors

"""Signals, and what a step must not raise: the run is saved, and the signal reaches whom it was meant for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT
from helpers import digits_tables, plugin_class
from test_crashes import SERVER, Command, wait_for

import genophen
from genophen.config.toml import write_toml
from genophen.storage.rundir import RunDirectory
from genophen.training.loop import Loop
from genophen.training.signals import StopSignal

ODD = ROOT / "tests" / "odd_step.py"


def odd_tables(act: str = "none", number: int = 0) -> dict[str, Any]:
    options = {"act": act, "signal": int(number)}
    optimizer = {"name": "odd-step", "odd-step": options}
    return digits_tables(rounds=3, checkpoint_seconds=1000.0) | {"optimizer": optimizer}


def odd_run(act: str = "none", number: int = 0, out: str = "run") -> genophen.Run:
    return genophen.run(odd_tables(act, number), out=out, plugin_files=[ODD])


def odd_command(
    folder: Path, act: str, number: int = 0, *arguments: str, ignored: int = 0
) -> tuple[int, str, str]:
    (folder / "odd.toml").write_text(write_toml(odd_tables(act, number)))
    words = ["run", "odd.toml", "--out", "run", "--plugin", ODD, *arguments]
    return Command(folder, *words, ignored=ignored).end()


def test_a_handler_that_a_plugins_library_puts_in_place_is_replaced(tmp_path: Path) -> None:
    code, _, errors = odd_command(tmp_path, "handler", signal.SIGTERM)
    assert code == 143, errors
    assert f"Interrupted. To go on: genophen resume run --plugin {ODD}" in errors
    assert RunDirectory(Path("run")).checkpoints.names() == ["round-00001-step-00002"]


def test_a_closed_terminal_interrupts_after_a_checkpoint(tmp_path: Path) -> None:
    code, _, errors = odd_command(tmp_path, "none", signal.SIGHUP)
    assert code == 129
    assert "Interrupted. To go on: genophen resume run" in errors
    assert RunDirectory(Path("run")).checkpoints.names() == ["round-00001-step-00002"]


def test_a_hangup_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    assert odd_command(tmp_path, "none", signal.SIGHUP, ignored=signal.SIGHUP)[0] == 0
    assert genophen.Run.load("run").status == "completed"


def interrupted_twice_at_once() -> None:
    with StopSignal() as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
    sys.exit(0 if stop.number == signal.SIGTERM else 1)


def test_an_echo_of_the_signal_is_no_second_one() -> None:
    process = SERVER.Process(target=interrupted_twice_at_once)
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_library_saves_and_gives_the_signal_back(number: int) -> None:
    begun = []
    with pytest.raises((SystemExit, KeyboardInterrupt)) as caught:  # noqa: PT012
        for name in ("first", "second"):
            begun.append(name)
            odd_run(number=number, out=name)
    assert begun == ["first"]
    assert caught.type is (KeyboardInterrupt if number == signal.SIGINT else SystemExit)
    assert getattr(caught.value, "code", 130) == 128 + number
    assert genophen.Run.load("first", plugin_files=[ODD]).status == "interrupted"
    assert genophen.resume("first", plugin_files=[ODD]).status == "completed"


def test_the_programs_own_handler_has_the_signal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        run = odd_run(number=signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]
    assert run.status == "interrupted"


def test_a_signal_that_comes_when_the_run_is_over_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Loop.result

    def signalled(self: Loop) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return measured(self)

    monkeypatch.setattr(Loop, "result", signalled)
    with pytest.raises(SystemExit) as caught:
        odd_run()
    assert caught.value.code == 143
    assert genophen.Run.load("run").status == "completed"


def test_timeout_ends_a_loop_of_runs(tmp_path: Path) -> None:
    script = (
        "import genophen\n"
        "for i in range(5):\n"
        "    print(i, flush=True)\n"
        "    genophen.run('digits.toml', out=f'run{i}')\n"
    )
    (tmp_path / "digits.toml").write_text(write_toml(digits_tables(rounds=100_000, patience=0)))
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_for(tmp_path / "run0" / "metrics.jsonl")
        os.kill(process.pid, signal.SIGTERM)  # as `timeout` does: to the process and to its group
        os.killpg(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (143, "0\n")
    assert genophen.Run.load("run0").status == "interrupted"


def test_a_keyboard_interrupt_of_a_plugin_costs_no_bit(tmp_path: Path) -> None:
    code, _, errors = odd_command(tmp_path, "interrupt")
    assert code == 130
    assert f"Interrupted. To go on: genophen resume run --plugin {ODD}" in errors
    assert json.loads(Path("run/result.json").read_text())["status"] == "interrupted"
    genophen.resume("run", plugin_files=[ODD])
    odd_run(out="undisturbed")
    for name in ("metrics.jsonl", "checkpoints/round-00003-step-00000/state.safetensors"):
        assert Path("run", name).read_bytes() == Path("undisturbed", name).read_bytes()


@pytest.mark.parametrize(
    ("act", "said"), [("generator-exit", "raised GeneratorExit"), ("own", "raised Mine: of my own")]
)
def test_whatever_a_step_raises_is_put_down_to_its_plugin(act: str, said: str, tmp_path: Path) -> None:
    code, _, errors = odd_command(tmp_path, act)
    assert code == 5
    assert f"its plugin odd_step ({ODD}) {said}" in errors


@pytest.mark.parametrize(
    ("act", "cause"), [("memory", "MemoryError"), ("allocator", "can't allocate memory")]
)
def test_a_lack_of_memory_is_nobodys_fault(act: str, cause: str, tmp_path: Path) -> None:
    code, _, errors = odd_command(tmp_path, act)
    assert code == 1
    assert "Error: cannot go on without more memory" in errors
    assert cause in errors
    assert "plugin" not in errors


def test_a_step_that_fails_after_a_signal_is_an_interruption(tmp_path: Path) -> None:
    """A signal to the whole process group ends a plugin's helpers."""
    code, out, errors = odd_command(tmp_path, "helper", signal.SIGTERM)
    assert code == 143
    assert "interrupted: signal 15; its plugin odd_step" in out
    assert "To go on: genophen resume run" in errors


def test_too_little_address_space_for_torch_is_said() -> None:
    command = f"ulimit -v 1200000; exec {sys.executable} -m genophen params x.toml"
    Path("x.toml").write_text(write_toml(digits_tables()))
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot load a package that genophen needs\n  found:   ImportError: " in done.stderr


def test_ray_is_started_where_it_replaces_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray sets a handler if it is started in the main thread, and its processes inherit blocked signals."""
    started: dict[str, Any] = {}

    def init(**options: Any) -> None:
        started["blocked"] = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    before = signal.getsignal(signal.SIGTERM)
    start_ray = sys.modules[plugin_class("executor", "ray").__module__].start_ray
    assert start_ray("", "do without").init is init
    assert signal.getsignal(signal.SIGTERM) is before
    assert {signal.SIGTERM, signal.SIGHUP} <= started["blocked"]


@pytest.mark.slow  # Ray takes ten seconds to start and to end
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("to_group", [False, True], ids=["process", "group"])
def test_a_signal_with_ray_workers_saves(number: int, to_group: bool, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra [evolution] brings Ray")
    settings = {"population_size": 6, "generations_per_round": 3, "num_workers": 2}
    tables = digits_tables(rounds=100_000, patience=0, checkpoint_seconds=1000.0)
    tables["optimizer"] = {"name": "snes", "snes": settings}
    Path("evolve.toml").write_text(write_toml(tables))
    command = [sys.executable, "-m", "genophen", "run", "evolve.toml", "--out", "run"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        timings, deadline = tmp_path / "run" / "timings.jsonl", time.monotonic() + 120
        while not timings.exists() or len(timings.read_text().splitlines()) < 3:  # two rounds are done
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (os.killpg if to_group else os.kill)(process.pid, number)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 128 + number, errors
    assert "Interrupted. To go on: genophen resume run" in errors
    (name,) = RunDirectory(tmp_path / "run").checkpoints.names()
    assert name != "round-00000-step-00000"

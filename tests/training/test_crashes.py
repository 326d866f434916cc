"""Real processes, killed, interrupted and crowded together: no run is lost, no bit differs."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from noisy_runs import NOISY, OPTIMIZERS, leaves, noisy_tables

import genophen
from genophen.cli import main
from genophen.config.toml import write_toml
from genophen.storage.rundir import RunDirectory

#: Processes that have imported everything before they start, so that they are killed while they train.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["genophen.api", "torchvision", "sklearn.datasets", "rich.progress"])
DEADLINE = 120


def sit(config: str, out: str) -> None:
    """One sitting: begin the run, or go on with it."""
    if (Path(out) / "config.toml").is_file():
        result = genophen.resume(out, plugin_files=[NOISY])
    else:
        result = genophen.run(config, out=out, plugin_files=[NOISY])
    sys.exit({"completed": 0, "interrupted": 130}[result["status"]])


def sitting(config: Path, out: Path) -> Any:
    process = SERVER.Process(target=sit, args=(str(config), str(out)))
    process.start()
    return process


def config_file(folder: Path, optimizer: str, **training: Any) -> Path:
    file = folder / "config.toml"
    tables = noisy_tables(rounds=6, **training) | {
        "optimizer": OPTIMIZERS.get(optimizer, {"name": optimizer})
    }
    file.write_text(write_toml(tables))
    return file


def killed_and_resumed(config: Path, folder: Path, kills: int) -> None:
    """Kill a run at random moments, saves among them, and compare its end with an undisturbed one's."""
    for warm_up in (True, False):
        started = time.monotonic()
        process = sitting(config, folder / f"whole-{warm_up}")
        process.join(DEADLINE)
        assert process.exitcode == 0
        seconds = time.monotonic() - started
    out, draws, killed = folder / "killed", random.Random(0), 0
    while killed < kills:
        process = sitting(config, out)
        process.join(draws.uniform(0, seconds))
        if process.exitcode is None:
            killed += 1
            process.kill()
            process.join()
        else:
            assert process.exitcode == 0
            assert leaves(out) == leaves(folder / "whole-False")
            out = folder / f"killed-{killed}"
    process = sitting(config, out)
    process.join(DEADLINE)
    assert process.exitcode == 0
    assert leaves(out) == leaves(folder / "whole-False")
    assert (
        sorted(path.name for path in (out / "checkpoints").iterdir()) == RunDirectory(out).checkpoints.names()
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_killed_at_random_moments_ends_the_same(optimizer: str, tmp_path: Path) -> None:
    killed_and_resumed(config_file(tmp_path, optimizer, checkpoint_seconds=0.0), tmp_path, kills=3)


@pytest.mark.slow
@pytest.mark.parametrize("saving", [{"checkpoint_seconds": 0.0}, {"checkpoint_rounds": 2}], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_killed_at_twenty_random_moments_ends_the_same(
    optimizer: str, saving: dict[str, Any], tmp_path: Path
) -> None:
    killed_and_resumed(config_file(tmp_path, optimizer, **saving), tmp_path, kills=20)


def run_command(streams: tuple[str, str], arguments: list[str], file_limit: int, ignored: int) -> None:
    if file_limit:  # a write beyond fails halfway, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    if ignored:
        signal.signal(ignored, signal.SIG_IGN)
    for place, descriptor in zip(streams, (1, 2), strict=True):
        os.dup2(opened(place), descriptor)
    main(arguments)


def opened(place: str) -> int:
    """A descriptor to write to: of a file, of a pipe that nobody reads, or of a terminal that is closed."""
    if place not in ("pipe", "terminal"):
        return os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    reader, writer = os.pipe() if place == "pipe" else os.openpty()
    os.close(reader)
    return writer


class Command:
    """The command in a process of its own, its output in files unless `out` or `err` names another place."""

    def __init__(
        self,
        folder: Path,
        *arguments: object,
        file_limit: int = 0,
        ignored: int = 0,
        out: str = "",
        err: str = "",
    ) -> None:
        self.folder = folder / f"command-{len(list(folder.glob('command-*')))}"
        self.folder.mkdir()
        words = [*map(str, arguments), "--plugin", str(NOISY)]
        self.streams = (out or str(self.folder / "out"), err or str(self.folder / "err"))
        given = (self.streams, words, file_limit, ignored)
        self.process = SERVER.Process(target=run_command, args=given)
        self.process.start()

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        self.process.join(DEADLINE)
        out, err = (Path(place).read_text() if Path(place).is_file() else "" for place in self.streams)
        assert self.process.exitcode is not None, err
        assert "Traceback" not in err
        return self.process.exitcode, out, err


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists()


def test_a_signal_saves_and_the_command_that_is_printed_goes_on(tmp_path: Path) -> None:
    """Every step saves, so that the signal comes in the middle of a save almost always."""
    config, out = config_file(tmp_path, "adam", checkpoint_seconds=0.0), tmp_path / "run"
    first = Command(tmp_path, "run", config, "--out", out, "--set", "training.rounds=2000")
    wait_for(out / "checkpoints" / "round-00001-step-00001")
    first.send(signal.SIGINT)
    code, _, errors = first.end()
    assert code == 130
    assert f"Interrupted. To go on: genophen resume {out} --plugin {NOISY}\n" in errors
    result = json.loads((out / "result.json").read_text())
    assert (result["status"], result["signal"]) == ("interrupted", signal.SIGINT)
    second = Command(tmp_path, "resume", out, "--json")
    wait_for(out / "checkpoints" / f"round-{result['rounds'] + 2:05}-step-00001")
    second.send(signal.SIGTERM)
    code, said, errors = second.end()
    assert code == 143
    assert json.loads(said)["rounds"] >= result["rounds"] + 2
    assert f"going on after round {result['rounds']}" in errors
    assert f"round {result['rounds'] + 1:>4}/2000" in errors
    assert f"round {result['rounds']:>4}/2000" not in errors


def test_the_second_signal_leaves_at_once_and_the_old_checkpoint_is_whole(tmp_path: Path) -> None:
    plugin = tmp_path / "slow.py"
    plugin.write_text(
        "import time\nimport genophen\n\n"
        "class Slow(genophen.Optimizer):\n"
        "    name = 'slow'\n    description = 'a step takes a minute after the first'\n"
        "    steps = 0\n\n"
        "    def setup(self, context):\n        self.steps_per_round = 100\n\n"
        "    def step(self):\n"
        "        self.steps += 1\n        time.sleep(60 if self.steps > 1 else 0)\n"
        "        return genophen.Metrics(train_loss=1.0)\n\n"
        "    def state_dict(self):\n        return {}\n\n"
        "    def load_state_dict(self, state):\n        pass\n\n\n"
        "@genophen.hookimpl\ndef register_optimizers(register):\n    register(Slow)\n"
    )
    config, out = config_file(tmp_path, "slow", checkpoint_seconds=0.0), tmp_path / "run"
    process = Command(tmp_path, "run", config, "--out", out, "--plugin", plugin)
    wait_for(out / "checkpoints" / "round-00000-step-00001")
    time.sleep(0.2)  # the second step is under way
    process.send(signal.SIGINT)
    time.sleep(0.2)
    assert process.process.is_alive()  # the step is being finished
    started = time.monotonic()
    process.send(signal.SIGTERM)
    assert process.end()[0] == 143
    assert time.monotonic() - started < 20
    RunDirectory(out).checkpoints.load("round-00000-step-00001")


def test_two_processes_cannot_resume_one_directory(tmp_path: Path) -> None:
    config, out = config_file(tmp_path, "adam"), tmp_path / "run"
    first = Command(tmp_path, "run", config, "--out", out, "--set", "training.rounds=5000")
    try:
        wait_for(out / "metrics.jsonl")
        code, _, errors = Command(tmp_path, "resume", out).end()
        assert code == 2
        assert "another process is training in it" in errors
        assert first.process.is_alive()
    finally:
        first.send(signal.SIGKILL)
        first.end()


def make_directory(folder: str, out: str | None, barrier: Any, results: Any) -> None:
    os.chdir(folder)
    barrier.wait()
    try:
        with RunDirectory.create(None if out is None else Path(out), "x", "a = 1\n") as run:
            results.put(str(run.path))
            barrier.wait()
    except genophen.ConfigError as error:
        results.put(error.found)
        barrier.wait()


@pytest.mark.parametrize("out", [None, "mine"])
def test_sixteen_processes_at_once_get_a_directory_each_or_one_gets_the_one(
    out: str | None, tmp_path: Path
) -> None:
    barrier, results = SERVER.Barrier(16), SERVER.Queue()
    processes = [
        SERVER.Process(target=make_directory, args=(str(tmp_path), out, barrier, results)) for _ in range(16)
    ]
    for process in processes:
        process.start()
    answers = [results.get(timeout=DEADLINE) for _ in processes]
    for process in processes:
        process.join(DEADLINE)
    if out is None:
        assert len(set(answers)) == len(list((tmp_path / "runs").iterdir())) == 16
    else:
        assert answers.count("mine") == 1
        refused = {answer.split(";")[0] for answer in answers if answer != "mine"}
        assert refused <= {"another process is training in it", "it is not empty"}


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with little room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_ends_the_run_and_leaves_the_checkpoint(tiny_disk: Path, tmp_path: Path) -> None:
    config, out = config_file(tmp_path, "adam", checkpoint_seconds=0.0), tiny_disk / "run"
    first = Command(tmp_path, "run", config, "--out", out, "--set", "training.rounds=5000")
    wait_for(out / "checkpoints" / "round-00001-step-00001")
    with (tiny_disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    code, _, errors = first.end()
    assert code == 1
    assert "No space left on device" in errors
    assert f"genophen resume {out}" in errors
    for name in RunDirectory(out).checkpoints.names():
        RunDirectory(out).checkpoints.load(name)
    (tiny_disk / "filler").unlink()
    done = RunDirectory(out).checkpoints.names()[-1]
    second = Command(tmp_path, "resume", out)
    deadline = time.monotonic() + DEADLINE
    while done in RunDirectory(out).checkpoints.names() and time.monotonic() < deadline:
        time.sleep(0.01)
    second.send(signal.SIGKILL)
    second.end()
    assert RunDirectory(out).checkpoints.names()[-1] > done


def test_a_write_that_fails_ends_the_run_with_one_clear_error(tmp_path: Path) -> None:
    config, out = config_file(tmp_path, "adam", checkpoint_seconds=0.0), tmp_path / "run"
    # First the checkpoint is too large, then even the description of the environment.
    for limit, arguments in ((20_000, ("run", config, "--out", out)), (1000, ("resume", out))):
        code, _, errors = Command(tmp_path, *arguments, file_limit=limit).end()
        assert code == 1
        assert "found:   File too large" in errors
        assert f"genophen resume {out}" in errors
    assert Command(tmp_path, "resume", out, "--quiet").end()[0] == 0

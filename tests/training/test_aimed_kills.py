"""Kills aimed at the first moments of a run and at its saves: every folder goes on to the same bits."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import digits_tables
from noisy_runs import OPTIMIZERS, leaves, noisy_tables
from test_crashes import DEADLINE, SERVER, sit

from genophen.config.toml import write_toml

EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
#: In the names of files and folders of a save.
SAVED = ("checkpoints", "best", "round-", "state.", "manifest.")
EVOLVED = {"generations_per_round": 2, "population_size": 4}


def config_file(folder: Path, kind: str) -> Path:
    """A run of a second that saves at every step."""
    tables = {
        "adam": noisy_tables() | {"optimizer": OPTIMIZERS["adam"]},
        "ray": noisy_tables() | {"optimizer": cma_es(genes="embeddings", num_workers=1)},
        "svm": digits_tables() | {"optimizer": cma_es(readout="svm", ridge_images=200)},
    }[kind]
    tables["training"] |= {"rounds": 2, "batch_size": 400, "checkpoint_seconds": 0.0}
    file = folder / "config.toml"
    file.write_text(write_toml(tables))
    return file


def cma_es(**options: Any) -> dict[str, Any]:
    return {"name": "cma-es", "cma-es": EVOLVED | options}


def sit_until(config: str, out: str, moment: str, number: int, seconds: float) -> None:
    """A sitting that dies some seconds after so many operations on files of that moment."""
    begun, count = False, 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal begun, count
        if event not in EVENTS:
            return
        name = str(arguments[0])
        begun = begun or name == out
        if begun and (moment == "start" or any(part in name for part in SAVED)):
            count += 1
            if count == number:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process as SIGKILL does
                signal.setitimer(signal.ITIMER_REAL, seconds)

    sys.addaudithook(watch)
    sit(config, out)


def finished(target: Any, *arguments: Any) -> int:
    process = SERVER.Process(target=target, args=arguments)
    process.start()
    process.join(DEADLINE)
    assert process.exitcode is not None
    return int(process.exitcode)


def kill(kind: str, moment: str, kills: int, folder: Path) -> None:
    config, draw = config_file(folder, kind), random.Random(f"{kind} {moment}")
    assert finished(sit, str(config), str(folder / "whole")) == 0
    whole, without_config = leaves(folder / "whole"), 0
    for index in range(kills):
        out = folder / f"killed-{index}"
        # The first operations of a run make its folder, lock it, and write its config.
        number = draw.randint(1, 12 if moment == "start" else 60)
        code = finished(sit_until, str(config), str(out), moment, number, draw.uniform(1e-6, 0.005))
        assert code == -signal.SIGALRM, (index, number)
        without_config += not (out / "config.toml").exists()
        assert finished(sit, str(config), str(out)) == 0, (index, number)
        assert leaves(out) == whole, (index, number)
        print(f"{kind}, {moment}: {index + 1} killed, {without_config} of them before there was a config")
    assert moment == "save" or without_config


@pytest.mark.parametrize("moment", ["start", "save"])
def test_a_run_killed_at_an_aimed_moment_ends_the_same(moment: str, tmp_path: Path) -> None:
    kill("adam", moment, 6, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["start", "save"])
@pytest.mark.parametrize("kind", ["adam", "ray", "svm"])
def test_a_run_killed_at_sixty_aimed_moments_ends_the_same(kind: str, moment: str, tmp_path: Path) -> None:
    if kind == "ray":
        pytest.importorskip("ray", reason="the extra [evolution] brings Ray")
    kill(kind, moment, 60, tmp_path)

"""Resumed runs end as undisturbed ones, to the bit; what cannot be resumed is refused with the reason."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from helpers import digits_tables
from noisy_runs import NOISY, OPTIMIZERS, Calling, interrupt_at, leaves, noisy_tables, resume, run

import genophen
from genophen.config.config import resolve_config
from genophen.config.toml import read_toml, write_toml
from genophen.plugins.loading import load_plugins
from genophen.plugins.registry import Plugin, Source
from genophen.storage import checkpoint
from genophen.storage.checkpoint import MANIFEST
from genophen.storage.guard import GuardedPath
from genophen.storage.rundir import RunDirectory
from genophen.training.progress import Progress
from genophen.training.resume import resume_run
from genophen.training.start import run_config


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a run of each optimizer leaves that nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GENOPHEN_LOAD_PLUGINS", raising=False)
        for optimizer, table in OPTIMIZERS.items():
            run(noisy_tables() | {"optimizer": table}, folder / optimizer)
    return {optimizer: leaves(folder / optimizer) for optimizer in OPTIMIZERS}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("moment", range(1, 13))
def test_an_interruption_anywhere_changes_no_bit(
    moment: int, optimizer: str, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    """Moments: round 0's validation, then three steps and a validation a round."""
    tables = noisy_tables() | {"optimizer": OPTIMIZERS[optimizer]}
    result = run(tables, tmp_path / "run", interrupt_at(moment))
    assert (result["status"], result["signal"], result["test_accuracy"]) == ("interrupted", 2, None)
    (name,) = RunDirectory(tmp_path / "run").checkpoints.names()
    # A validation is followed by no step; a step by none but the one that is under way.
    done = {1: (0, 0), 2: (0, 1), 3: (0, 2), 4: (0, 3), 5: (1, 0)}.get(moment)
    assert done is None or name == f"round-{done[0]:05}-step-{done[1]:05}"
    torch.rand(3), random.random()  # what happens in between does not matter
    assert resume(tmp_path / "run")["status"] == "completed"
    assert leaves(tmp_path / "run") == undisturbed[optimizer]


def test_interrupted_at_every_step_the_run_still_ends_the_same(
    undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    tables = noisy_tables(checkpoint_rounds=1)
    run(tables, tmp_path / "run", interrupt_at(1))
    plugins = load_plugins([NOISY])
    config = resolve_config(tables, plugins, "of the test")
    for _ in range(20):
        reporter = interrupt_at(1)
        try:
            result = resume_run(RunDirectory(tmp_path / "run"), config, plugins, reporters=[reporter])
        except KeyboardInterrupt:  # at the last step there was nothing left to interrupt
            break
        assert result["status"] == "interrupted"
        assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2
    assert genophen.Run.load(tmp_path / "run")["status"] == "completed"
    assert leaves(tmp_path / "run") == undisturbed["adam"]


def test_a_reporter_is_told_where_a_resumed_run_goes_on(tmp_path: Path) -> None:
    run(noisy_tables(), tmp_path / "run", interrupt_at(7))
    plugins, reporter = load_plugins([NOISY]), Calling(lambda count: None)
    config = resolve_config(read_toml(tmp_path / "run" / "config.toml"), plugins, "of the test")
    notes: list[str] = []
    resume_run(RunDirectory(tmp_path / "run"), config, plugins, reporters=[reporter], notify=notes.append)
    assert (reporter.info.rounds_done, reporter.info.steps_done) == (1, 2)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert reporter.info.best_accuracy == max(row["validation_accuracy"] for row in rows[:2])
    assert reporter.count == 1 + 1 + 3 + 1  # the steps and rounds that were left
    assert "resuming from round-00001-step-00002" in notes


def test_a_run_that_never_saved_starts_again(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    def die(count: int) -> None:
        if count == 6:
            raise RuntimeError("power failure")

    with pytest.raises(RuntimeError, match="power failure"):
        run(noisy_tables(), tmp_path / "run", Calling(die))
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 2
    shutil.copytree(tmp_path / "run", tmp_path / "longer")
    assert resume(tmp_path / "run")["status"] == "completed"
    assert leaves(tmp_path / "run") == undisturbed["adam"]
    assert resume(tmp_path / "longer", rounds=4)["rounds"] == 4
    assert read_toml(tmp_path / "longer" / "config.toml")["training"]["rounds"] == 4


def test_a_torn_row_and_a_later_best_are_no_hindrance(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    """As a crash may leave them: rows and best weights from after the last checkpoint."""
    out = tmp_path / "run"
    run(noisy_tables(), out, interrupt_at(6))
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"round": 2, "train_loss": 0.1}\n{"round": 3, "tra')
    other = {name: torch.ones_like(tensor) for name, tensor in RunDirectory(out).load_best()[0].items()}
    RunDirectory(out).save_best(other, {"round": 9, "validation_accuracy": 1.0})
    (out / "checkpoints" / ".round-00007-step-00000.part").mkdir()
    (out / "checkpoints" / ".round-00007-step-00000.part" / "state.json").write_text("{")
    assert resume(out)["status"] == "completed"
    assert leaves(out) == undisturbed["adam"]
    assert not list((out / "checkpoints").glob(".*"))


def test_lost_rows_are_damage(tmp_path: Path) -> None:
    run(noisy_tables(), tmp_path / "run", interrupt_at(6))
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    with pytest.raises(genophen.DamagedError, match="it has 0 bytes"):
        resume(tmp_path / "run")


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run(noisy_tables(checkpoint_rounds=1), tmp_path / "run")
    names = [path.name for path in sorted((tmp_path / "run" / "checkpoints").iterdir())]
    assert names == ["round-00002-step-00000", "round-00003-step-00000"]
    run(noisy_tables(checkpoint_seconds=0.0), tmp_path / "steps")
    names = [path.name for path in sorted((tmp_path / "steps" / "checkpoints").iterdir())]
    assert names == ["round-00002-step-00003", "round-00003-step-00000"]


def test_the_seconds_of_earlier_sittings_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state_dict = Progress.state_dict

    def as_if_it_had_been_long(self: Progress) -> dict[str, Any]:
        state = state_dict(self)
        return state | {"seconds": state["seconds"] + 600}

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "state_dict", as_if_it_had_been_long)
        run(noisy_tables(rounds=50, max_seconds=600.0), tmp_path / "run", interrupt_at(7))
    result = resume(tmp_path / "run")
    assert (result["stop_reason"], result["rounds"]) == ("max_seconds", 2)
    assert 600 < result["wall_seconds"] < 1200


# What is over, and more rounds.


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    result = run(noisy_tables(), tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert resume(tmp_path / "run") == result
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before
    with pytest.raises(genophen.ConfigError, match="it has 3") as caught:
        resume(tmp_path / "run", rounds=2)
    assert caught.value.exit_code == 2


def test_without_a_schedule_an_extended_run_equals_a_longer_one(tmp_path: Path) -> None:
    tables = noisy_tables(rounds=2) | {"optimizer": {"name": "adam", "adam": {"schedule": "decay"}}}
    run(tables, tmp_path / "run")
    assert resume(tmp_path / "run", rounds=4)["rounds"] == 4
    tables["training"]["rounds"] = 4
    run(tables, tmp_path / "long")
    assert leaves(tmp_path / "run") == leaves(tmp_path / "long")
    assert read_toml(tmp_path / "run" / "config.toml") == read_toml(tmp_path / "long" / "config.toml")
    rerun = run(read_toml(tmp_path / "run" / "config.toml"), tmp_path / "again")
    assert rerun["test_accuracy"] == leaves(tmp_path / "run")["result"]["test_accuracy"]


def test_a_schedule_over_all_rounds_is_laid_out_anew(tmp_path: Path) -> None:
    def rates(path: Path) -> list[float]:
        lines = (path / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["learning_rate"] for line in lines][1:]

    run(noisy_tables(rounds=2), tmp_path / "run")
    resume(tmp_path / "run", rounds=4)
    run(noisy_tables(rounds=4), tmp_path / "long")
    short = rates(tmp_path / "run")
    assert short[:2] != rates(tmp_path / "long")[:2]
    assert short[2:] == rates(tmp_path / "long")[2:]  # where a run of four rounds would be
    assert short[2] > short[1]  # so that it rises


def test_an_interrupted_run_can_be_extended(tmp_path: Path) -> None:
    tables = noisy_tables(rounds=2) | {"optimizer": {"name": "sgd", "sgd": {"schedule": "constant"}}}
    run(tables, tmp_path / "run", interrupt_at(4))
    assert resume(tmp_path / "run", rounds=3)["rounds"] == 3
    tables["training"]["rounds"] = 3
    run(tables, tmp_path / "long")
    assert leaves(tmp_path / "run") == leaves(tmp_path / "long")


@pytest.mark.parametrize(
    ("training", "reason"),
    [({"patience": 1, "rounds": 50}, "no better"), ({"max_sample_evaluations": 4000}, "max_sample")],
)
def test_more_rounds_for_a_run_that_ended_otherwise_are_refused(
    training: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    quiet = {"optimizer": {"name": "sgd", "sgd": {"learning_rate": 1e-9, "schedule": "constant"}}}
    result = run(noisy_tables(**training) | quiet, tmp_path / "run")
    assert result["stop_reason"].startswith(reason)
    with pytest.raises(genophen.ConfigError, match=f"for another reason: {reason}"):
        resume(tmp_path / "run", rounds=60)
    assert resume(tmp_path / "run")["status"] == result["status"]


def test_patience_goes_on_counting(tmp_path: Path) -> None:
    tables = noisy_tables(patience=3, rounds=50)
    tables["optimizer"] = {"name": "sgd", "sgd": {"learning_rate": 1e-9, "schedule": "constant"}}
    undisturbed = run(tables, tmp_path / "whole")
    assert (undisturbed["status"], undisturbed["rounds"] < 20) == ("stopped-early", True)
    run(tables, tmp_path / "run", interrupt_at(4 * (undisturbed["rounds"] - 1)))
    shutil.rmtree(tmp_path / "run" / "best")  # the checkpoint has the best weights too
    resume(tmp_path / "run")
    assert leaves(tmp_path / "run") == leaves(tmp_path / "whole")


def test_a_run_killed_between_the_last_checkpoint_and_its_result_gets_it(tmp_path: Path) -> None:
    result = run(noisy_tables(), tmp_path / "run")
    before = leaves(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    assert resume(tmp_path / "run")["test_accuracy"] == result["test_accuracy"]
    assert leaves(tmp_path / "run") == before


# What is not what it was.


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """A run with two checkpoints, ended by a signal."""
    run(noisy_tables(checkpoint_rounds=1), tmp_path / "run", interrupt_at(7))
    assert RunDirectory(tmp_path / "run").checkpoints.names() == [
        "round-00001-step-00000",
        "round-00001-step-00002",
    ]
    return tmp_path / "run"


def changed_environment(out: Path, change: Callable[[dict[str, Any]], None]) -> None:
    environment = json.loads((out / "environment.json").read_text())
    change(environment)
    (out / "environment.json").write_text(json.dumps(environment))


def test_another_plugin_version_is_refused_unless_forced(
    interrupted: Path, undisturbed: dict[str, Any]
) -> None:
    def change(environment: dict[str, Any]) -> None:
        (optimizer,) = [plugin for plugin in environment["plugins"] if plugin["kind"] == "optimizer"]
        optimizer["version"] = "0.0.7"

    changed_environment(interrupted, change)
    with pytest.raises(genophen.PluginError) as caught:
        resume(interrupted)
    assert f"genophen 0.0.7 then, genophen {genophen.__version__} now" in caught.value.found
    assert caught.value.exit_code == 5
    assert "--force" in caught.value.next_step
    assert resume(interrupted, force=True)["status"] == "completed"
    saved = json.loads((interrupted / "environment.json").read_text())
    assert [plugin["version"] for plugin in saved["plugins"]].count("0.0.7") == 0
    assert [plugin["version"] for plugin in saved["earlier"][0]["plugins"]].count("0.0.7") == 1


def test_a_changed_plugin_file_is_refused_and_a_moved_one_is_not(interrupted: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.py"
    shutil.copy(NOISY, moved)
    changed = tmp_path / "changed.py"
    changed.write_text(NOISY.read_text() + "\n")
    with pytest.raises(genophen.PluginError, match=r"a file with SHA-256 .* then, .* now"):
        genophen.resume(interrupted, plugin_files=[changed])
    assert genophen.resume(interrupted, plugin_files=[moved])["status"] == "completed"


def test_other_data_are_refused_unless_forced(interrupted: Path) -> None:
    changed_environment(interrupted, lambda environment: environment["dataset"].update(sha256="abc"))
    with pytest.raises(genophen.DamagedError) as caught:
        resume(interrupted)
    assert "SHA-256 492a93bf" in caught.value.found
    assert "SHA-256 abc" in caught.value.allowed
    assert resume(interrupted, force=True)["status"] == "completed"


def test_settings_changed_by_hand_are_refused_unless_forced(interrupted: Path) -> None:
    tables = read_toml(interrupted / "config.toml")
    tables["optimizer"]["adam"]["learning_rate"] = 0.001
    tables["training"]["checkpoint_rounds"] = 0  # as often as you like
    (interrupted / "config.toml").write_text(write_toml(tables))
    with pytest.raises(genophen.ConfigError, match=r"learning_rate: 0\.004 there, 0\.001 now"):
        resume(interrupted)
    assert resume(interrupted, force=True)["status"] == "completed"


def test_an_unreadable_environment_is_refused_unless_forced(interrupted: Path) -> None:
    (interrupted / "environment.json").write_text("{")
    with pytest.raises(genophen.DamagedError, match=r"environment\.json"):
        resume(interrupted)
    assert resume(interrupted, force=True)["status"] == "completed"


# Damage.


def check_byte_changes(out: Path, number: int) -> None:
    folder, draws = out / "checkpoints" / "round-00001-step-00002", random.Random(0)
    plugins = load_plugins([NOISY])
    config = resolve_config(read_toml(out / "config.toml"), plugins, "of the test")
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [MANIFEST, "state.json", "state.safetensors"]
    for count in range(number):
        file = files[count % 3]
        original = file.read_bytes()
        changed = bytearray(original)
        changed[draws.randrange(len(original))] ^= 1 << draws.randrange(8)
        file.write_bytes(changed)
        with pytest.raises(genophen.DamagedError) as caught:
            resume_run(RunDirectory(out), config, plugins)
        assert caught.value.exit_code == 4
        assert "--checkpoint round-00001-step-00000" in caught.value.next_step
        file.write_bytes(original)


def test_any_changed_byte_is_refused_and_the_older_checkpoint_named(
    interrupted: Path, undisturbed: dict[str, Any]
) -> None:
    check_byte_changes(interrupted, 60)
    assert resume(interrupted)["status"] == "completed"
    assert leaves(interrupted) == undisturbed["adam"]


@pytest.mark.slow
def test_a_thousand_changed_bytes_are_refused(interrupted: Path) -> None:
    check_byte_changes(interrupted, 1000)


def test_the_older_checkpoint_ends_the_same(interrupted: Path, undisturbed: dict[str, Any]) -> None:
    (interrupted / "checkpoints" / "round-00001-step-00002" / "state.json").unlink()
    with pytest.raises(genophen.DamagedError, match=r"state\.json cannot be read"):
        resume(interrupted)
    with pytest.raises(genophen.ConfigError, match="no checkpoint round-00001-step-00009"):
        resume(interrupted, checkpoint="round-00001-step-00009")
    with pytest.raises(genophen.ConfigError, match="no checkpoint"):
        resume(interrupted, checkpoint="../best")
    resume(interrupted, checkpoint="round-00001-step-00000")
    assert leaves(interrupted) == undisturbed["adam"]
    assert len(list((interrupted / "checkpoints").iterdir())) == 2


def test_where_every_checkpoint_is_damaged_the_way_out_is_to_train_again(interrupted: Path) -> None:
    for manifest in interrupted.glob("checkpoints/*/manifest.json"):
        manifest.unlink()
    with pytest.raises(genophen.DamagedError) as caught:
        resume(interrupted)
    assert caught.value.next_step == f"train again: genophen run {interrupted}/config.toml"


def test_a_manifest_with_its_own_digest_over_strange_values_runs_nothing(interrupted: Path) -> None:
    folder = interrupted / "checkpoints" / "round-00001-step-00002"
    pickled = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x05false\x85R."
    for content in (pickled, b"[]", b'{"state": {"dict": 3}, "files": {}}', b"[" * 100_000):
        (folder / "state.json").write_bytes(content)
        files = {
            name: checkpoint._fingerprint((folder / name).read_bytes())
            for name in ("state.json", "state.safetensors")
        }
        (folder / MANIFEST).write_bytes(checkpoint._manifest(files))
        with pytest.raises(genophen.DamagedError):
            resume(interrupted)


# Full disks and read-only folders.


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("moment", range(5))
def test_a_save_that_fails_anywhere_leaves_the_old_checkpoint(
    moment: int, kind: int, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moments of the second save: its three files, the metrics' flush before, the best weights after."""
    out, calls = tmp_path / "run", 0
    write, fsync = GuardedPath.create, os.fsync

    def full(*arguments: Any) -> None:
        nonlocal calls
        folder = out / "checkpoints" / "round-00001-step-00000"
        if not folder.exists():
            return
        calls += 1
        if calls > moment:
            raise OSError(kind, os.strerror(kind))

    def write_half(self: GuardedPath, content: bytes) -> None:
        try:
            full()
        except OSError:
            self.path.write_bytes(content[: len(content) // 2])
            raise
        write(self, content)

    def sync(descriptor: int) -> None:
        if moment == 4:
            full()
        fsync(descriptor)

    monkeypatch.setattr(GuardedPath, "create", write_half)
    if moment == 4:
        monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(genophen.GenophenError, match=os.strerror(kind)) as caught:
        run(noisy_tables(checkpoint_rounds=1), out)
    assert caught.value.exit_code == 1
    assert f"genophen resume {out}" in caught.value.next_step
    monkeypatch.setattr(GuardedPath, "create", write)
    monkeypatch.setattr(os, "fsync", fsync)
    assert not list((out / "checkpoints").glob(".*"))
    resume(out)
    assert leaves(out) == undisturbed["adam"]


def test_too_little_room_is_said_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(genophen.GenophenError, match=r"0\.1 MiB are free"):
        run(noisy_tables(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_without_permission_to_write_is_said(interrupted: Path) -> None:
    interrupted.chmod(0o500)
    try:
        with pytest.raises(genophen.GenophenError, match="Permission denied"):
            resume(interrupted)
    finally:
        interrupted.chmod(0o700)


def test_a_folder_in_use_is_refused(interrupted: Path) -> None:
    with (
        FileLock(interrupted / ".lock"),
        pytest.raises(genophen.ConfigError, match="another process is training in it"),
    ):
        resume(interrupted)
    assert resume(interrupted)["status"] == "completed"


def test_a_run_whose_checkpoints_are_gone_says_so(interrupted: Path, tmp_path: Path) -> None:
    run(noisy_tables(), tmp_path / "done")
    shutil.rmtree(tmp_path / "done" / "checkpoints")
    with pytest.raises(genophen.ConfigError, match="its checkpoints are gone"):
        resume(tmp_path / "done", rounds=9)


def test_state_that_cannot_be_saved_is_said_before_the_first_step(tmp_path: Path) -> None:
    class Unsaveable(GoesWrong):
        name = "unsaveable"

        def state_dict(self) -> dict[str, Any]:
            return {"seen": {1, 2}}

    plugins = load_plugins()
    plugins.registered["optimizer"]["unsaveable"] = Plugin(
        "optimizer", "unsaveable", Unsaveable, Source("t", "t", "1")
    )
    config = resolve_config(digits_tables() | {"optimizer": {"name": "unsaveable"}}, plugins, "of the test")
    with pytest.raises(genophen.PluginError, match=r"state\['optimizer'\]\['seen'\]"):
        run_config(config, plugins, "x", tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Divergence.


class GoesWrong(genophen.Optimizer):
    """Does well until a step, then breaks one of loss, gradients and weights."""

    name = "goes-wrong"
    description = "for a test"
    what = "loss"

    def setup(self, context: genophen.Context) -> None:
        self.parameter = next(context.phenotype.parameters())
        self.number, self.steps_per_round = 0, 4

    def step(self) -> genophen.Metrics:
        self.number += 1
        wrong = float("nan") if self.number >= 6 else 0.0
        with torch.no_grad():
            self.parameter += wrong if self.what == "weights" else 1e-3
        self.parameter.grad = torch.full_like(self.parameter, wrong if self.what == "gradients" else 0.0)
        return genophen.Metrics(train_loss=1.0 + (wrong if self.what == "loss" else 0.0))

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number = state["number"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [("loss", "loss is nan at step 2"), ("gradients", "gradients of"), ("weights", "weights")],
)
@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_a_diverged_run_keeps_its_last_good_checkpoint(
    what: str, reason: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GoesWrong, "what", what)
    plugins = load_plugins()
    plugins.registered["optimizer"]["goes-wrong"] = Plugin(
        "optimizer", "goes-wrong", GoesWrong, Source("t", "t", "1")
    )
    tables = digits_tables(checkpoint_seconds=seconds, checkpoint_rounds=1)
    config = resolve_config(tables | {"optimizer": {"name": "goes-wrong"}}, plugins, "of the test")
    directory, result = run_config(config, plugins, "x", tmp_path / "run")
    assert result["status"] == "diverged"
    assert reason in result["stop_reason"]
    assert result["test_accuracy"] is None
    names = directory.checkpoints.names()
    assert names[-1] == ("round-00001-step-00001" if seconds == 0.0 else "round-00001-step-00000")
    for name in names:
        tensors, _ = directory.checkpoints.load(name)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
    best, values = directory.load_best()
    assert values["round"] == result["best_round"] <= 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in best.values())
    assert resume_run(directory, config, plugins) == result


def test_a_damaged_best_is_mended_by_resuming(interrupted: Path, undisturbed: dict[str, Any]) -> None:
    for file in (interrupted / "best").iterdir():
        file.write_bytes(b"")
    resume(interrupted)
    assert leaves(interrupted) == undisturbed["adam"]

"""The reporters for TensorBoard and MLflow, read back."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import ROOT
from helpers import digits_tables

import genophen
from genophen.cli import main
from genophen.config.config import resolve_config
from genophen.config.toml import write_toml
from genophen.plugins.loading import load_plugins
from genophen.storage.rundir import RunDirectory
from genophen.training.resume import resume_run
from genophen.training.start import run_config


def train(out: Path, reporter: str, notes: list[str]) -> genophen.Run:
    plugins = load_plugins()
    config = resolve_config(digits_tables(), plugins, "of the test")
    run_config(config, plugins, "x", out, [plugins.reporter(reporter, notes.append)])
    return genophen.Run.load(out)


def extend(run: genophen.Run, rounds: int, reporter: str, notes: list[str]) -> None:
    """Go on with the run to that many rounds."""
    plugins = load_plugins()
    tables = run.config
    tables["training"]["rounds"] = rounds
    config = resolve_config(tables, plugins, "of the test")
    resume_run(
        RunDirectory.open(run.directory),
        config,
        plugins,
        reporters=[plugins.reporter(reporter, notes.append)],
    )


def test_tensorboard_shows_every_number_of_every_round(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    notes: list[str] = []
    run = train(tmp_path / "run", "tensorboard", notes)
    extend(run, 3, "tensorboard", notes)
    assert notes == []
    events = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "run")).Reload()
    rows = run.metrics
    for name in ("validation_accuracy", "validation_loss", "train_loss", "learning_rate"):
        found = {event.step: event.value for event in events.Scalars("tensorboard", name)}
        expected = {row["round"]: row[name] for row in rows if row[name] is not None}
        assert found == pytest.approx(expected)
    assert [event.step for event in events.Scalars("tensorboard", "seconds")] == [0, 1, 2, 3]
    assert events.Scalars("tensorboard", "test_accuracy")[-1].value == pytest.approx(run["test_accuracy"])


def test_mlflow_has_the_config_and_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    notes: list[str] = []
    run = train(tmp_path / "run", "mlflow", notes)
    extend(run, 3, "mlflow", notes)
    assert notes == []
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("genophen")
    (logged,) = client.search_runs([experiment.experiment_id])
    assert (logged.info.status, logged.info.run_name) == ("FINISHED", "run")
    assert logged.data.params["genotype.hypernetwork.embedding_dim"] == "4"
    assert logged.data.params["parameters.kernel"] == "4244"
    assert logged.data.metrics["test_accuracy"] == run["test_accuracy"]
    history = client.get_metric_history(logged.info.run_id, "validation_accuracy")
    assert {point.step: point.value for point in history} == {
        row["round"]: row["validation_accuracy"] for row in run.metrics
    }
    assert len(history) == 4


@pytest.mark.parametrize(("reporter", "name"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow_run_id")])
def test_reporters_follow_no_link_out_of_the_run_directory(
    reporter: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tmp_path / "outside").mkdir()
    run = train(tmp_path / "run", "console", [])
    target = tmp_path / "outside" / ("" if name == "tensorboard" else "absent")
    (tmp_path / "run" / name).symlink_to(target)
    notes: list[str] = []
    extend(run, 3, reporter, notes)
    assert not list((tmp_path / "outside").iterdir())
    (note,) = notes
    assert "it is a link" in note


def test_a_store_that_cannot_be_used_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "no-such-scheme://here")
    notes: list[str] = []
    run = train(tmp_path / "run", "mlflow", notes)
    assert run.status == "completed"
    (note,) = notes
    assert note.startswith("the reporter mlflow raised ")
    assert note.endswith("it is told nothing more")


@pytest.mark.slow  # making the tables of an SQLite store takes MLflow ten seconds
@pytest.mark.skipif(find_spec("sqlalchemy") is None, reason="needs sqlalchemy, of genophen[mlflow]")
def test_mlflow_writes_here_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "digits.toml").write_text(write_toml(digits_tables(rounds=1)))
    arguments = ["run", "digits.toml", "--out", "run", "--reporter", "mlflow"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "plugins"), *sys.path])
    command = [sys.executable, "-m", "genophen", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "the reporter mlflow raised" not in done.stderr
    assert (tmp_path / "mlflow.db").stat().st_size > 0
    assert len((tmp_path / "run" / "mlflow_run_id").read_text().strip()) == 32


@pytest.mark.parametrize(("reporter", "module"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow")])
def test_a_package_that_is_not_installed_is_named_with_what_installs_it(
    reporter: str,
    module: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "digits.toml").write_text(write_toml(digits_tables()))

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([*arguments])
        return (int(caught.value.code or 0), *capsys.readouterr())

    code, out, _ = command("plugins", "list", "--json")
    assert code == 0
    names = [plugin["name"] for plugin in json.loads(out)["plugins"] if plugin["kind"] == "reporter"]
    assert names == ["console", "mlflow", "tensorboard"]
    code, _, err = command("run", "digits.toml", "--out", "run", "--reporter", reporter)
    assert code == 5
    assert f"cannot use the reporter {reporter}" in err
    assert genophen.install_command(reporter) in err
    assert not Path("run").exists()


def test_a_run_that_fails_at_once_leaves_no_folder(tmp_path: Path) -> None:
    plugins = load_plugins()
    tables = digits_tables() | {"optimizer": {"name": "adam", "adam": {"learning_rate": 0.1}}}
    config = resolve_config(tables, plugins, "of the test")
    reporter = plugins.reporter("tensorboard", print)

    class Failing(genophen.Reporter):
        name, description = "failing", "fails at the start"

        def start(self, info: genophen.RunInfo) -> None:
            raise MemoryError

        step = round = end = lambda self, *arguments: None

    with pytest.raises(MemoryError):
        run_config(config, plugins, "x", tmp_path / "run", [reporter, Failing()])
    assert not (tmp_path / "run").exists()


class Clock:
    """Moves ten seconds on whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 10
        return self.now


def test_without_a_terminal_long_silences_are_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins = load_plugins()
    monkeypatch.setattr(sys.modules[plugins.get("reporter", "console").cls.__module__], "time", Clock())
    tables = digits_tables(rounds=1)
    evolution = {"population_size": 4, "generations_per_round": 1, "readout": "ridge"}
    tables["optimizer"] = {"name": "snes", "snes": evolution}
    config = resolve_config(tables, plugins, "of the test")
    run_config(config, plugins, "x", tmp_path / "run", [plugins.reporter("console", print)])
    said = capsys.readouterr().err
    for what in ("solving the readout 0%", "evaluating candidates 25%", "validating", "testing"):
        assert f"\n  {what}, 10 s after the line above\n" in said
    assert "train squared error 0." in said
    assert json.loads((tmp_path / "run" / "result.json").read_text())["train_loss_name"] == (
        "train squared error"
    )


def test_a_bar_names_what_is_not_counted_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = load_plugins()
    cls = plugins.get("reporter", "console").cls
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    reporter = cls()
    seen: list[tuple[str, bool]] = []

    class Watching(genophen.Reporter):
        name, description = "watching", "what the bar says after each call"

        def _look(self) -> None:
            (task,) = reporter._progress.tasks
            seen.append((task.description, task.finished))

        def start(self, info) -> None: ...

        def step(self) -> None:
            self._look()

        def round(self, row, seconds) -> None: ...

        def doing(self, what, done=None) -> None:
            self._look()

        def end(self, result) -> None: ...

    config = resolve_config(digits_tables(rounds=1), plugins, "of the test")
    run_config(config, plugins, "x", tmp_path / "run", [reporter, Watching()])
    assert seen[0] == ("validating", False)
    assert seen[1] == ("training", False)
    assert seen[-2:] == [("validating", True), ("testing", True)]
    assert "0:00:00" not in stream.getvalue()[stream.getvalue().rindex("12/12") :]

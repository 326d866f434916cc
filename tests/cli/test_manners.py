"""Manners of the command: completion, examples, colours, what to do next, a newcomer's first mistakes."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from helpers import digits_tables

import genophen
from genophen.cli.common import conclude
from genophen.cli.completion import _changed
from genophen.cli.doctor import _in_words
from genophen.cli.examples import shipped_examples
from genophen.config.toml import write_toml
from genophen.plugins.loading import load_plugins
from genophen.sweep.file import read_sweep
from genophen.sweep.sweep import plan
from genophen.training.pace import Pace


@pytest.fixture
def complete(command, monkeypatch: pytest.MonkeyPatch):
    """The words that bash is offered for the last one of a line."""

    def call(line: str) -> list[str]:
        monkeypatch.setenv("_GENOPHEN_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        return command().out.split()

    return call


def test_commands_and_plugins_are_completed(complete) -> None:
    assert complete("genophen ru") == ["plain,run", "plain,runs"]
    assert complete("genophen run x.toml --optimizer ad") == ["plain,adam", "plain,adamw"]
    assert complete("genophen run x.toml --genotype hypern") == ["plain,hypernetwork"]
    assert complete("genophen params x.toml --architecture vgg-block") == [
        f"plain,vgg-block{number}" for number in (1, 2, 3)
    ]
    assert complete("genophen run x.toml --dataset di") == ["plain,digits"]
    assert complete("genophen resume x --reporter c") == ["plain,console"]
    assert complete("genophen plugins show mnist") == ["plain,mnist", "plain,mnist-cnn"]
    assert complete("genophen examples di") == ["plain,digits"]


def test_names_are_kept_until_other_plugins_are_installed(
    complete, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert complete("genophen plugins show cp") == ["plain,cppn", "plain,cppn-graph"]
    kept = tmp_path / "cache" / "genophen" / "plugin-names.json"
    kept.write_text(kept.read_text().replace('["cppn", "cppn-graph"', '["cpx"'))
    assert complete("genophen plugins show cp") == ["plain,cpx"]  # nothing was loaded
    monkeypatch.setenv("GENOPHEN_LOAD_PLUGINS", "cppn,direct")
    assert complete("genophen plugins show cp") == ["plain,cppn"]
    monkeypatch.setattr(sys.modules["genophen.cli.completion"], "_changed", lambda module: "later")
    kept.write_text(kept.read_text().replace('"genotype": ["cppn"', '"genotype": ["cpx"'))
    assert complete("genophen plugins show cp") == ["plain,cppn"]
    kept.write_text("{ damaged")
    assert complete("genophen plugins show cp") == ["plain,cppn"]


def test_a_plugins_file_is_found_without_importing_it() -> None:
    file = ROOT / "plugins" / "genophen_plugins" / "genotypes" / "cppn.py"
    assert _changed("genophen_plugins.genotypes.cppn") == str(file.stat().st_mtime_ns)
    assert _changed("no_such_package.module") == ""


def test_run_directories_are_completed(complete) -> None:
    for folder in ("runs/b", "runs/a", "other/c", "near"):
        Path(folder).mkdir(parents=True)
        Path(folder, "config.toml").touch()
    Path("runs/sweep/trials").mkdir(parents=True)
    Path("runs/sweep/sweep.toml").touch()
    Path("runs/none").mkdir()
    below = ["plain,runs/a", "plain,runs/b", "plain,runs/sweep"]
    for name in ("resume", "evaluate", "compare", "report"):
        assert complete(f"genophen {name} runs/") == below
    assert complete("genophen resume ") == ["plain,near", *below]
    assert complete("genophen evaluate other/") == ["plain,other/c"]
    assert complete("genophen evaluate elsewhere/x") == ["dir,elsewhere/x"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_code(command, shell: str) -> None:
    output = command("completion", shell)
    assert output.code == 0
    assert f"_GENOPHEN_COMPLETE={shell}_complete" in output.out


def test_examples_are_listed_with_a_line_each(command) -> None:
    lines = command("examples").out.splitlines()
    assert [line.split()[0] for line in lines] == [*shipped_examples()]
    assert all(len(line) < 140 for line in lines)
    assert "digits that come with scikit-learn" in next(line for line in lines if line.startswith("digits "))
    listed = json.loads(command("examples", "--json").out)
    assert {"name": "tables/table2_mnist", "description": "Table 2: MNIST"} in listed


def test_examples_are_copied_with_their_base_and_never_overwrite(command) -> None:
    output = command("examples", "tables/table2_mnist", "digits")
    assert output.code == 0
    copied = {str(file) for file in Path("examples").rglob("*.toml")}
    assert copied == set(output.out.split())
    assert copied == {"examples/tables/table2_mnist.toml", "examples/digits.toml", "examples/mnist.toml"}
    assert Path("examples/digits.toml").read_bytes() == (ROOT / "examples" / "digits.toml").read_bytes()
    sweep = read_sweep(Path("examples/tables/table2_mnist.toml"))
    assert len(plan(sweep, Path("runs"), load_plugins())) >= len(sweep.rows) > 1

    Path("examples/mnist.toml").write_text("# mine\n")
    output = command("examples", "cifar_block1", "digits", "mnist")
    assert output.code == 2
    assert "examples/digits.toml, examples/mnist.toml: there already" in output.err
    assert not Path("examples/cifar_block1.toml").exists()
    command("examples", "tables/faithful/table7")  # on a base that is there
    assert Path("examples/mnist.toml").read_text() == "# mine\n"

    assert command("examples", "examples/digits.toml", "--out", "else/where").code == 0
    assert Path("else/where/digits.toml").is_file()
    assert "did you mean digits?" in command("examples", "digit").err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "stream", "escapes", "colours"),
    [
        ({}, io.StringIO, False, False),
        ({"FORCE_COLOR": "1"}, io.StringIO, False, False),
        ({}, Terminal, True, True),
        ({"NO_COLOR": "1"}, Terminal, True, False),
        ({"TERM": "dumb"}, Terminal, False, False),
    ],
)
def test_progress_heeds_terminal_and_colour(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    stream: type[io.StringIO],
    escapes: bool,
    colours: bool,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", stream())
    reporter = load_plugins().get("reporter", "console").cls()
    counts = {"kernel": 1, "direct": 2, "total": 3}
    images = {"train": 3, "validation": 1, "test": 1}
    names = {"architecture": "a", "genotype": "g", "optimizer": "o", "dataset": "d", "device": "cpu"}
    info = genophen.RunInfo(
        **names, directory=Path("runs/x"), parameters=counts, images=images, total_rounds=1, steps_per_round=2
    )
    reporter.start(info)
    reporter.step()
    reporter.end({})
    written = sys.stderr.getvalue()
    assert "writing to runs/x" in written
    assert ("\x1b[" in written) == escapes
    assert ("\x1b[38;5;" in written) == colours


RESULT = {
    "status": "completed",
    "stop_reason": None,
    "rounds": 5,
    "best_round": 4,
    "wall_seconds": 1.0,
    "measure": "accuracy",
    "percent": True,
    "negated": False,
    "validation_score": 0.5,
    "test_score": 0.5,
}


def test_a_run_on_a_terminal_ends_with_what_to_do_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(**changes: object) -> list[str]:
        monkeypatch.setattr(sys, "stderr", Terminal())
        assert conclude({**RESULT, **changes}, Path("my run"), False, (Path("p.py"),)) == 0
        return sys.stderr.getvalue().splitlines()

    assert said() == [
        "Next:",
        "  genophen evaluate 'my run' --plugin p.py",
        "  genophen report 'my run' --plugin p.py",
        "  genophen resume 'my run' --rounds 10 --plugin p.py",
    ]
    assert len(said(status="stopped-early")) == 3
    assert said(test_score=None)[1].startswith("  genophen report")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert conclude(RESULT, Path("r"), False) == 0
    assert sys.stderr.getvalue() == ""


@pytest.fixture
def folder() -> None:
    """What lies where a newcomer works."""
    Path("digits.toml").write_text(write_toml(digits_tables()))
    Path("mine/old").mkdir(parents=True)
    Path("mine/old/config.toml").write_text(Path("digits.toml").read_text())
    Path("swept").mkdir()
    Path("swept/sweep.toml").touch()
    Path("grid.toml").write_text('base = "digits.toml"\n[grid]\ntraining.rounds = [1, 2]\n')
    Path("bracket.toml").write_text('[dataset\nname = "digits"\n')
    Path("unquoted.toml").write_text("[dataset]\nname = digits\n")
    Path("utf16.toml").write_text("[dataset]\n", encoding="utf-16")


MISTAKES = {
    "rn digits.toml": "did you mean run?",
    "digits.toml": "next:    genophen run digits.toml",
    "mine/old": "next:    genophen resume mine/old",
    "train digits.toml": "allowed: compare, completion,",
    "plugins adam": "next:    genophen plugins show adam",
    "run digit.toml": "did you mean digits.toml?",
    "run nowhere/x.toml": "`genophen examples` lists configs",
    "run .": "name a file in it: bracket.toml, digits.toml, grid.toml",
    "run swept/trials": "check the path",
    "run mine/old": "`genophen run mine/old/config.toml` trains the same again",
    "run bracket.toml": "next:    mend line 1: [dataset\n",
    "run unquoted.toml": 'mend line 2: name = digits (text needs quotes: "...")',
    "run utf16.toml": "found:   UTF-16\n",
    "run grid.toml": "next:    genophen sweep grid.toml --out DIR",
    "sweep digits.toml --out x": "next:    genophen run digits.toml; or a sweep file that names it",
    "run digits.toml --rounds 3": "'--rounds'. Settings of the config: --set training.rounds=VALUE",
    "run digits.toml --lr 3": "'--lr'. Settings of the config: --set training.rounds=10",
    "run digits.toml --optimzer adam": "Did you mean",
    "run digits.toml --set optimizer.lr=1": "allowed here: name; and optimizer.adam.KEY for learning_rate,",
    "run digits.toml --set learning_rate=1": "did you mean optimizer.adam.learning_rate?",
    "run digits.toml --set rounds=1": "did you mean training.rounds?",
    "run digits.toml --genotype hypernet": "did you mean hypernetwork?",
    "run digits.toml --dataset image-folder": "--set 'dataset.image-folder.path=VALUE'",
    "run digits.toml --device gpu": "found:   no such device\n",
    "evaluate digits.toml": "it is a file\n  next:    genophen run digits.toml trains what it describes",
    "evaluate mine": "name a run in it, such as mine/old",
    "resume swept": "`genophen sweep swept/sweep.toml --out swept` goes on with it",
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("line", MISTAKES)
def test_a_newcomers_mistake_says_what_was_meant(command, line: str) -> None:
    output = command(*line.split())
    assert output.code == 2
    assert output.out == ""
    assert MISTAKES[line] in output.err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("before", "end"), [(b"\xef\xbb\xbf", b"\n"), (b"", b"\r\n"), (b"\xef\xbb\xbf", b"\r\n")]
)
def test_what_windows_editors_write_is_read(command, before: bytes, end: bytes) -> None:
    Path("windows.toml").write_bytes(before + Path("digits.toml").read_bytes().replace(b"\n", end))
    output = command("params", "windows.toml")
    assert output.code == 0
    assert "kernel          4,244" in output.out


def test_params_counts_what_the_optimizer_searches(command, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(write_toml(digits_tables()), encoding="utf-8")
    evolved = command("params", config, "--optimizer", "cma-es")
    assert "  total          12,894\n  searched        4,244  by cma-es\n" in evolved.out
    embeddings = ("--set", "optimizer.cma-es.genes='embeddings'")
    counts = json.loads(command("params", config, "--json", "--optimizer", "cma-es", *embeddings).out)
    assert counts["parameters"]["searched"] == 4
    every = ("--set", "optimizer.cma-es.genes='all'", "--set", "optimizer.cma-es.readout='ridge'")
    counts = json.loads(command("params", config, "--json", "--optimizer", "cma-es", *every).out)
    assert counts["parameters"]["searched"] == 12_894 - 7_850  # less the readout that is solved
    assert "searched" not in command("params", config).out
    refused = command("params", config, "--genotype", "cppn", "--optimizer", "cma-es", *embeddings)
    assert refused.code == 0
    assert "cppn has no embeddings" in refused.err


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (("--genotype", "cppn", "--optimizer", "cma-es", "optimizer.cma-es.genes='embeddings'"), "no embedd"),
        (("optimizer.adam.warm_start='/nowhere'",), "there is no such folder"),
        (("--optimizer", "snes", "optimizer.snes.warm_start='/nowhere'"), "there is no such folder"),
        (("--optimizer", "cma-es", "optimizer.cma-es.separable=false"), "separable = false"),
    ],
)
def test_what_a_run_refuses_for_its_optimizer_a_dry_run_refuses(
    command, tmp_path: Path, settings: tuple[str, ...], found: str
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(write_toml(digits_tables()), encoding="utf-8")
    options = [word for s in settings for word in (("--set", s) if "=" in s else (s,))]
    dry = command("run", config, "--dry-run", *options)
    assert (dry.code, dry.out) == (2, "")
    assert found in dry.err
    assert not (tmp_path / "runs").exists()


def test_an_estimate_takes_steps_and_keeps_nothing(command, tmp_path: Path) -> None:
    given = ("run", ROOT / "examples/digits.toml", "--estimate", "--set", "training.rounds=7")
    told = command(*given)
    assert told.code == 0
    (line,) = (line for line in told.out.splitlines() if line.startswith("About"))
    assert re.fullmatch(
        r"About [\d.]+ s a round \(12 steps of [\d.]+ s, [\d.]+ s of validation\), \d+ s for 7 rounds. "
        r"Nothing of it was kept.",
        line,
    )
    seconds = json.loads(command(*given, "--json").out)["seconds"]
    assert seconds["round"] == pytest.approx(12 * seconds["step"] + seconds["validation"])
    assert seconds["run"] == pytest.approx(7 * seconds["round"])
    assert not list(tmp_path.glob("runs*"))


def test_an_estimate_of_long_rounds_is_told_in_minutes_and_hours() -> None:
    assert str(Pace(step=1.25, validation=14.2, steps_per_round=320, rounds=40)) == (
        "About 7 min a round (320 steps of 1.2 s, 14 s of validation), 4 h 36 min for 40 rounds"
    )


def test_an_estimate_says_that_the_data_is_not_there(command, tmp_path: Path) -> None:
    folder = ("--dataset", "image-folder", "--set", 'dataset.image-folder.path="absent"')
    told = command("run", ROOT / "examples/digits.toml", "--estimate", "--data-dir", tmp_path, *folder)
    assert told.code == 4
    assert "absent" in told.err


def test_a_dry_run_says_that_the_disk_is_full(command, tmp_path: Path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    config = ROOT / "examples/digits.toml"
    dry = command("run", config, "--dry-run", "--out", tmp_path / "not" / "there")
    assert dry.code == 1
    assert f"cannot train in {tmp_path}/not/there found: 0.1 MiB are free on its disk" in " ".join(
        dry.err.split()
    )
    assert not (tmp_path / "not").exists()
    (tmp_path / "sweep.toml").write_text(f'name = "one"\nbase = "{config}"\nseeds = [0]\n[rows.A]\n')
    dry = command("sweep", tmp_path / "sweep.toml", "--dry-run")
    assert dry.code == 2
    assert "0.1 MiB are free on its disk" in " ".join(dry.err.split())


def test_a_dry_run_of_a_task_refuses_settings_for_labelled_images(command) -> None:
    ridge = ("--set", "optimizer.cma-es.readout='ridge'")
    dry = command("run", ROOT / "examples/double_pole.toml", "--dry-run", *ridge)
    assert dry.code == 2
    assert "the task has none" in dry.err
    smooth = ("--set", "optimizer.adam.label_smoothing=0.1")
    dry = command("run", ROOT / "examples/unknown_delay.toml", "--dry-run", *smooth)
    assert dry.code == 2
    assert "without classes" in dry.err


def test_doctor_tells_one_thread_from_something_that_is_there() -> None:
    assert [_in_words(value) for value in (1, True, False, None, "cpu")] == [
        1,
        "there",
        "not there",
        "not installed",
        "cpu",
    ]


TINY = """
import genophen
from torch import nn


class Tiny(genophen.Architecture):
    name = "tiny"
    description = "one convolution"
    input_shape = (1, 28, 28)
    num_outputs = 10

    def build(self):
        return nn.Sequential(nn.Conv2d(1, 4, 3, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(324, 10))

    def expressed(self):
        return ["0.weight"]


@genophen.hookimpl
def register_architectures(register):
    register(Tiny)
"""


def test_a_run_remembers_the_plugin_file_that_it_used(command, tmp_path: Path) -> None:
    plugin = tmp_path / "tiny.py"
    plugin.write_text(TINY, encoding="utf-8")
    run = tmp_path / "run"
    tables = digits_tables(rounds=1) | {"architecture": {"name": "tiny"}}
    genophen.run(tables, out=run, plugin_files=[plugin])
    commands = (("report",), ("resume",), ("evaluate",), ("compare",), ("export", "--format", "torch"))
    for name, *options in commands:
        refused = command(name, run, *options)
        assert (refused.code, refused.out) == (2, ""), name
        assert f"the run had it from this file: --plugin {plugin}\n" in refused.err, name
    assert command("evaluate", run, "--plugin", plugin).code == 0
    plugin.write_text(TINY + "# changed\n", encoding="utf-8")
    assert "which has changed since" in command("report", run).err
    plugin.unlink()
    gone = command("report", run)
    assert "which is not there now: --plugin FILE.py" in gone.err
    assert "from a copy" not in gone.err


def test_a_run_of_a_plugin_that_is_not_there_is_left_out_of_a_report_with_its_file(
    command, tmp_path: Path
) -> None:
    plugin = tmp_path / "tiny.py"
    plugin.write_text(TINY, encoding="utf-8")
    tables = digits_tables(rounds=1)
    tiny = tables | {"architecture": {"name": "tiny"}}
    genophen.run(tiny, out=tmp_path / "tiny", plugin_files=[plugin])
    genophen.run(tables, out=tmp_path / "shipped")
    output = command("report", tmp_path / "tiny", tmp_path / "shipped", "--no-images")
    assert output.code == 0
    assert f"--plugin {plugin}" in output.err


DETACHED = """
import genophen
from torch import nn


class Detached(genophen.Genotype):
    name = "detached"
    description = "writes what no gradient reaches"

    def __init__(self, options, targets, generator):
        super().__init__()
        (self._target,) = [target for target in targets.values() if not target.is_bias]
        self.weight = nn.Parameter(self._target.initial.clone())

    def express(self):
        return {self._target.name: self.weight.detach() * 1}

    def genes(self, scope):
        return ["weight"]


@genophen.hookimpl
def register_genotypes(register):
    register(Detached)
"""


def test_a_genotype_that_no_gradient_reaches_is_not_trained_at_chance(command, tmp_path: Path) -> None:
    plugin, config = tmp_path / "detached.py", tmp_path / "c.toml"
    plugin.write_text(DETACHED, encoding="utf-8")
    config.write_text(write_toml(digits_tables(rounds=1)), encoding="utf-8")
    given = ("run", config, "--plugin", plugin, "--genotype", "detached")
    for more in ((), ("--dry-run",)):
        refused = command(*given, *more)
        assert refused.code == 5
        assert "detached from all of its parameters" in refused.err
    evolved = command(*given, "--optimizer", "snes", "--dry-run")
    assert evolved.code == 0  # a search needs no gradients


def test_a_run_says_that_a_genotype_has_more_numbers_than_it_writes(command, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    tables = digits_tables(rounds=1)
    tables["genotype"] = {"hypernetwork": {"embedding_dim": 16, "projection_dim": 16}}
    config.write_text(write_toml(tables), encoding="utf-8")
    for more in (("--quiet", "--out", tmp_path / "run"), ("--dry-run",)):
        assert "more numbers than it writes: 17,696 for 12,560" in command("run", config, *more).err


def test_a_broken_class_of_a_plugin_file_does_not_hide_the_others(command, tmp_path: Path) -> None:
    plugin = tmp_path / "mixed.py"
    broken = "\n\nclass Loud(Tiny):\n    name = 'LOUD'\n\n\nclass Mute(Tiny):\n    name = 3\n\n\n"
    source = TINY.replace("\n\n@genophen.hookimpl", broken + "@genophen.hookimpl")
    source = source.replace("register(Tiny)", "[register(each) for each in (Loud, Tiny, Mute)]")
    plugin.write_text(source, encoding="utf-8")
    checked = command("plugins", "check", "tiny", "--plugin", plugin)
    assert checked.code == 0
    assert "all 12 checks passed" in checked.out
    assert "Loud: its name is 'LOUD'" in checked.err
    assert "Mute: it sets no 'name'" in checked.err
    config = tmp_path / "c.toml"
    config.write_text(write_toml(digits_tables(rounds=1)), encoding="utf-8")
    refused = command("run", config, "--plugin", plugin, "--architecture", "tiny")
    assert refused.code == 5  # asked for by name, so that nothing of it may be missing
    assert "'LOUD'" in refused.err
    assert "Mute" in refused.err


def test_one_round_is_not_several(command, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(write_toml(digits_tables(rounds=1)), encoding="utf-8")
    assert command("run", config, "--quiet", "--out", tmp_path / "run").out.startswith(
        "completed, 1 round in"
    )

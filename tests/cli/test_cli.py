"""The command: data on stdout, messages on stderr, exit codes, no tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from helpers import digits_tables

import genophen
from genophen.cli import cli
from genophen.config.toml import write_toml


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "digits.toml"
    file.write_text(write_toml(digits_tables()))
    return file


def test_help_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom genophen.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'sklearn', 'torchvision', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "genophen run examples/digits.toml" in done.stdout


def test_importing_genophen_does_not_import_torch() -> None:
    code = "import sys, genophen; assert 'torch' not in sys.modules; genophen.hookimpl"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_command_has_help(command) -> None:
    for name in [*cli.commands, *(f"plugins {name}" for name in cli.commands["plugins"].commands)]:
        output = command(*name.split(), "--help")
        assert output.code == 0
        assert output.out.startswith("Usage: genophen")
    assert command("--version").out == f"genophen, version {genophen.__version__}\n"


def test_run_prints_accuracy_and_directory_and_evaluate_measures_the_same(command, config: Path) -> None:
    output = command("run", config, "--out", "mine", "--quiet")
    assert output.code == 0
    assert "test accuracy" in output.out
    assert "run directory        mine" in output.out
    result = json.loads(Path("mine/result.json").read_text())
    for split, key in (("test", "test_accuracy"), ("validation", "validation_accuracy")):
        output = command("evaluate", "mine", "--split", split, "--json")
        measured = json.loads(output.out)
        assert measured["accuracy"] == result[key]
        assert measured["round"] == result["best_round"]
    assert "test accuracy" in command("evaluate", "mine").out


def test_run_json_prints_the_result_alone_and_progress_is_on_stderr(command, config: Path) -> None:
    output = command("run", config, "--json", "--out", "mine")
    assert json.loads(output.out) == json.loads(Path("mine/result.json").read_text())
    assert "round 2/2" in output.err
    assert "4,244 kernel + 8,650 direct = 12,894" in output.err


def test_without_out_each_run_gets_a_folder_of_its_own(command, config: Path) -> None:
    for _ in range(2):
        assert command("run", config, "--quiet", "--set", "training.rounds=1").code == 0
    folders = sorted(Path("runs").iterdir())
    assert len(folders) == 2
    assert all("-digits-" in folder.name for folder in folders)


def test_shorthands_and_overrides_reach_the_saved_config(command, config: Path) -> None:
    options = ["--optimizer", "sgd", "--genotype", "direct", "--seed", "9", "--device", "cpu"]
    overrides = ["--set", "training.rounds=1", "--set", "optimizer.sgd.momentum=0.5"]
    command("run", config, *options, *overrides, "--data-dir", "d", "--out", "mine", "--quiet")
    saved = Path("mine/config.toml").read_text()
    for line in ('name = "sgd"', "momentum = 0.5", 'name = "direct"', "seed = 9", 'device = "cpu"'):
        assert line in saved
    assert f'data_dir = "{Path("d").absolute()}"' in saved


def test_dry_run_writes_nothing(command, config: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    output = command("run", config, "--dry-run")
    assert output.code == 0
    assert "kernel          4,244" in output.out
    assert "learning_rate = " in output.out
    assert sorted(tmp_path.rglob("*")) == before
    described = json.loads(command("run", config, "--dry-run", "--json").out)
    assert described["parameters"]["kernel"] == 4244


def test_params_counts_and_names_what_is_held_at_zero(command) -> None:
    config = ROOT / "examples" / "cifar_block3.toml"
    output = command("params", config)
    assert "kernel          7,296  behind 71,424 expressed weights" in output.out
    assert "held at zero: conv1_2.bias, conv2_1.bias" in output.out
    described = json.loads(command("params", config, "--genotype", "direct", "--json").out)
    assert described["parameters"] == {
        "total": 204_570,
        "kernel": 71_632,
        "embedding": 0,
        "generator": 0,
        "direct": 132_938,
        "searched": 204_570,
    }


def test_five_mistakes_get_five_messages_and_exit_code_2(command, config: Path) -> None:
    mistakes = [
        "training.ronds=3",
        'optimizer.adam.learning_rate="fast"',
        "genotype.hypernetwork.embedding_dim=0",
        'architecture.name="mnist-cn"',
        "augmentation.padding=-1",
    ]
    output = command("run", config, *(part for mistake in mistakes for part in ("--set", mistake)))
    assert output.code == 2
    assert output.out == ""
    lines = [line for line in output.err.splitlines() if line.startswith("  - ")]
    assert len(lines) == 5
    assert any("training.ronds: unknown key; did you mean rounds?" in line for line in lines)
    assert any("did you mean mnist-cnn?" in line for line in lines)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "absent.toml"], 2, "cannot read the config absent.toml"),
        (["run"], 2, "Usage: genophen run"),
        (["runn"], 2, "No such command 'runn'"),
        (["run", "CONFIG", "--bogus"], 2, "No such option"),
        (["run", "CONFIG", "--optimizer", "adm"], 2, "did you mean adam?"),
        (["run", "CONFIG", "--device", "warp"], 2, "cannot use the device 'warp'"),
        (["run", "CONFIG", "--dataset", "cifar10"], 2, "cannot feed"),
        (
            ["run", "CONFIG", "--dataset", "mnist", "--data-dir", "empty"],
            1,
            "--dataset digits needs no download",
        ),
        (["run", "CONFIG", "--plugin", "absent.py"], 5, "cannot read the plugin file absent.py"),
        (["run", "CONFIG", "--reporter", "consol"], 5, "did you mean console?"),
        (["evaluate", "absent"], 2, "there is no such folder"),
        (["evaluate", "."], 2, "it has no config.toml"),
        (["plugins", "show", "hypernetwrk"], 5, "did you mean hypernetwork?"),
    ],
)
def test_errors_have_an_exit_code_and_say_what_to_do(
    command, config: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    if "cifar10" in arguments:  # colour images for a grey network, without any download
        from genophen_plugins.datasets.known import CIFAR10, Digits

        def colour(self, data_dir):
            data = Digits().load(data_dir)
            return genophen.Data(*(_colour(s) for s in (data.train, data.test)), data.class_names)

        def _colour(split):
            return genophen.Split(split.images.repeat(1, 3, 1, 1), split.labels)

        monkeypatch.setattr(CIFAR10, "load", colour)
    output = command(*(str(config) if argument == "CONFIG" else argument for argument in arguments))
    assert output.code == code
    assert said in output.err + output.out


def test_a_diverged_run_exits_3(command, config: Path) -> None:
    settings = ["optimizer.sgd.learning_rate=1e38", 'optimizer.sgd.schedule="constant"']
    options = [part for setting in settings for part in ("--set", setting)]
    output = command("run", config, "--optimizer", "sgd", *options, "--quiet")
    assert output.code == 3
    assert "lower learning rate" in output.err


def test_a_damaged_checkpoint_exits_4(command, config: Path) -> None:
    command("run", config, "--out", "mine", "--quiet", "--set", "training.rounds=1")
    (tensors,) = Path("mine/best").glob("*.safetensors")
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    output = command("evaluate", "mine")
    assert output.code == 4
    assert tensors.name in output.err


def test_a_config_that_was_changed_after_the_run_is_noticed(command, config: Path) -> None:
    command("run", config, "--out", "mine", "--quiet", "--set", "training.rounds=1")
    saved = Path("mine/config.toml")
    saved.write_text(saved.read_text().replace("embedding_dim = 4", "embedding_dim = 5"))
    output = command("evaluate", "mine")
    assert output.code == 4
    assert "has config.toml, or a plugin that it uses, changed" in output.err


def test_debug_shows_the_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genophen", "run", "absent.toml", "--debug"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "cannot read the config" in done.stderr


def test_plugins_list_and_show(command) -> None:
    listed = json.loads(command("plugins", "list", "--json").out)
    assert listed["failures"] == []
    names = {(plugin["kind"], plugin["name"]) for plugin in listed["plugins"]}
    assert ("architecture", "vgg-block3") in names
    assert ("genotype", "hypernetwork") in names
    text = command("plugins", "list", "--kind", "optimizer").out
    assert "sgd" in text
    assert "hypernetwork" not in text
    shown = command("plugins", "show", "hypernetwork").out
    assert "embedding_dim  (integer >= 1 and <= 1024; default 16)" in shown
    assert "initialization  ('fan-in' | 'smooth' | 'small'; default 'fan-in')" in shown
    settings = json.loads(command("plugins", "show", "image-folder", "--json").out)[0]["settings"]
    assert [s["name"] for s in settings if s["required"]] == ["path"]


def test_a_broken_plugin_is_one_line_and_help_still_works(
    command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENOPHEN_LOAD_PLUGINS", "mnist-cnn,hypernetwork,gradient,datasets,absent-plugin")
    monkeypatch.delenv("GENOPHEN_STRICT_PLUGINS")
    output = command("plugins", "list")
    assert output.code == 0
    (line,) = output.err.splitlines()
    assert line.startswith("plugin absent-plugin (GENOPHEN_LOAD_PLUGINS) is left out")


def test_doctor_runs_and_finds_no_problem(command) -> None:
    output = command("doctor", "--json")
    checks = json.loads(output.out)
    assert checks["problems"] == []
    assert output.code == 0
    assert checks["short_run"] == "completed"
    assert "GOMP_SPINCOUNT=" in checks["machine"]["waiting"]
    assert "no problems found" in command("doctor").out


def test_resuming_a_finished_run_says_what_to_do_and_keeps_its_exit_code(command, config: Path) -> None:
    command("run", config, "--quiet", "--out", "done", "--set", "training.rounds=1")
    output = command("resume", "done")
    assert output.code == 0
    assert "is over (completed): nothing to do. To train on: genophen resume done --rounds 2" in output.err
    assert "test accuracy" in output.out
    extended = command("resume", "done", "--rounds", "2", "--json")
    assert json.loads(extended.out)["rounds"] == 2
    assert "laid out anew over all 2 rounds" in extended.err
    assert "rounds = 2" in Path("done/config.toml").read_text()
    assert command("resume", "done", "--rounds", "1").code == 2
    assert command("resume", "absent").code == 2
    wild = ["--optimizer", "sgd", "--set", "optimizer.sgd.learning_rate=1e38"]
    assert command("run", config, "--quiet", "--out", "wild", *wild).code == 3
    output = command("resume", "wild")
    assert output.code == 3
    assert "--set A.B=VALUE" in output.err


def test_resuming_from_a_damaged_checkpoint_exits_4_and_prints_the_way_out(command, config: Path) -> None:
    command("run", config, "--quiet", "--out", "mine", "--set", "training.checkpoint_rounds=1")
    state = Path("mine/checkpoints/round-00002-step-00000/state.json")
    state.write_bytes(state.read_bytes().replace(b'"round":2', b'"round":3', 1))
    output = command("resume", "mine", "--rounds", "3")
    assert output.code == 4
    assert "genophen resume mine --checkpoint round-00001-step-00000" in output.err
    output = command("resume", "mine", "--rounds", "3", "--checkpoint", "round-00001-step-00000", "--json")
    assert json.loads(output.out)["rounds"] == 3

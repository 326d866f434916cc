"""Files and folders whose names are no UTF-8, as any name of bytes may be on Linux."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from helpers import digits_tables

from genophen.cli import main
from genophen.config.toml import write_toml

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")

ODD = os.fsdecode(b"odd\xff")
#: As it is printed, and as it stands in files.
SHOWN = r"odd\udcff"
PLUGIN = """
import genophen
from torch import nn

class Tiny(genophen.Architecture):
    name, description, input_shape, num_outputs = "tiny", "for a test", (1, 8, 8), 10

    def build(self):
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10))

    def expressed(self):
        return ["0.weight"]

@genophen.hookimpl
def register_architectures(register):
    register(Tiny)
"""


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "digits.toml"
    file.write_text(write_toml(digits_tables(rounds=1)))
    return file


def test_every_command_takes_a_run_directory_of_any_name(config: Path, tmp_path: Path) -> None:
    run, plugin = tmp_path / ODD, tmp_path / f"{ODD}.py"
    plugin.write_text(PLUGIN)
    with_plugin = ("--plugin", plugin)
    assert command("run", config, "--architecture", "tiny", "--out", run, "-q", *with_plugin) == 0
    other = tmp_path / f"other{ODD}"
    assert command("run", config, "--out", other, "-q") == 0
    assert command("evaluate", run, *with_plugin) == 0
    assert command("report", run, other, *with_plugin) == 0
    assert SHOWN in (run / "report.html").read_text()
    assert command("compare", run, other, "--out", run / "comparison", *with_plugin) == 0
    assert command("export", run, "--format", "safetensors", *with_plugin) == 0
    assert command("resume", run, "--rounds", 2, *with_plugin) == 0


def test_a_network_that_cannot_be_run_is_named_in_a_comparison_by_its_odd_path(
    config: Path, tmp_path: Path
) -> None:
    for number in (1, 2):
        run = tmp_path / f"{ODD}{number}"
        assert command("run", config, "--set", f"training.batch_size={100 * number}", "--out", run, "-q") == 0
    shutil.rmtree(run / "best")
    assert command("compare", *tmp_path.glob(f"{ODD}*"), "--out", tmp_path / "comparison") == 0
    assert f"{SHOWN}2" in (tmp_path / "comparison" / "comparison.md").read_text()


def test_a_sweep_file_of_any_name_goes_through_a_sweep_its_results_and_a_report(
    config: Path, tmp_path: Path
) -> None:
    file, out, results = (tmp_path / name for name in (f"{ODD}.toml", f"out{ODD}", f"results{ODD}"))
    file.write_text(f'base = "{config.name}"\n[rows.one]\n')
    assert command("sweep", file, "--out", out, "--results", results, "--title", ODD) == 0
    assert [path.read_text().startswith(f"# {SHOWN}\n") for path in results.glob("*.md")] == [True]
    assert command("sweep", file, "--out", out) == 0
    assert command("report", out) == 0
    assert SHOWN in (out / "report.html").read_text()


@pytest.mark.parametrize("relative", [True, False])
def test_a_path_that_the_config_would_have_to_hold_is_refused_with_words(
    relative: bool,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / ODD).mkdir()
    if relative:
        monkeypatch.chdir(tmp_path / ODD)
    assert command("run", config, "--data-dir", "data" if relative else ODD, "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert "in UTF-8" in error
    assert "rename the file or folder, or reach it by a link" in error
    assert not (tmp_path / "run").exists()

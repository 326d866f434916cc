"""Generated configs: each is accepted or refused with exit code 2, within a second, without a traceback."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from conftest import ROOT
from helpers import digits_tables
from hostile import (
    ASSIGNMENTS,
    as_toml,
    ask,
    check_answer,
    config_tables,
    damaged_examples,
    is_harmless,
    sweep_tables,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: The default suite takes always the same examples; the long run draws new ones each time.
FEW = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MANY = settings(FEW, max_examples=5_000, derandomize=False)


def check_config(content: bytes) -> None:
    Path("config.toml").write_bytes(content)
    answer = ask("run", "config.toml", "--dry-run")
    if answer.seconds >= 1:  # Python may have collected the garbage of thousands of examples meanwhile
        answer = ask("run", "config.toml", "--dry-run")
    check_answer(answer)


@FEW
@given(config_tables())
def test_odd_values_are_answered(tables: dict) -> None:
    check_config(as_toml(tables).encode())


@FEW
@given(damaged_examples())
def test_damaged_files_are_answered(content: bytes) -> None:
    check_config(content)


@pytest.mark.slow
@MANY
@given(config_tables())
def test_5000_configs_of_odd_values_are_answered(tables: dict) -> None:
    check_config(as_toml(tables).encode())


@pytest.mark.slow
@MANY
@given(damaged_examples())
def test_5000_damaged_files_are_answered(content: bytes) -> None:
    check_config(content)


@FEW
@given(st.lists(ASSIGNMENTS, min_size=1, max_size=3))
def test_odd_overrides_are_answered(given_assignments: list[str]) -> None:
    options = [part for assignment in given_assignments for part in ("--set", assignment)]
    check_answer(ask("run", ROOT / "examples" / "digits.toml", "--dry-run", *options))


@FEW
@given(sweep_tables())
def test_odd_sweeps_are_answered(tables: dict) -> None:
    Path("sweep.toml").write_text(as_toml(tables), encoding="utf-8")
    # A row that no sweep has: all is read and planned, and nothing is trained.
    answer = ask("sweep", "sweep.toml", "--out", "swept", "--only", "no such row")
    check_answer(answer, codes=(2,))
    assert not Path("swept").exists()


@pytest.mark.parametrize(
    "file", sorted((ROOT / "tests" / "corpus").glob("*.toml")), ids=lambda file: file.stem
)
def test_what_was_found_before_is_answered(file: Path) -> None:
    check_answer(ask("run", file, "--dry-run"), codes=(2,))


@pytest.mark.parametrize(
    "assignment",
    [
        "training.rounds=0x" + "f" * 6000,
        "training.seed=" + "9" * 5000,
        'training.device="\udcff"',
        'dataset.data_dir="a\\u0000b"',
        "training.seed=18446744073709551616",
        "optimizer.adam.beta1=nan",
        "genotype.hypernetwork.embedding_dim=1000000000",
        "architecture.mnist-cnn.num_outputs=1000000000000",
        "training.device='cuda:99999999999999999999'",
        '"\x1b[31mtraining".rounds=1',
    ],
    ids=lambda assignment: assignment[:30].encode("unicode_escape").decode(),
)
def test_an_override_that_was_found_before_is_answered(assignment: str) -> None:
    check_answer(ask("run", ROOT / "examples" / "digits.toml", "--dry-run", "--set", assignment), codes=(2,))


HIDDEN = "a." * 30_000 + "b = 1"


@pytest.mark.parametrize(
    "text",
    ["a = '''\\'''\n" + HIDDEN, 't = {x = """y"""", ' + HIDDEN + "}", "a = '''x'''''\n" + HIDDEN],
    ids=["escape-in-literal-text", "five-quotes", "five-apostrophes"],
)
def test_depth_cannot_be_hidden_behind_a_string(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(text)
    answer = ask("run", "config.toml", "--dry-run")
    check_answer(answer, codes=(2,))
    assert "nested too deep" in answer.err


def test_names_in_a_config_cannot_steer_the_terminal(tmp_path: Path) -> None:
    config = '"\\u001b[2J\\u0007" = 1\n[training]\n"ro\\u202eunds" = 3\ndevice = "[bold]\\u009b31m"\n'
    config += '[optimizer]\nname = "\\u001b]0;title\\u0007"\n[genotype."a\\nError: forged"]\nx = 1\n'
    (tmp_path / "config.toml").write_text(config)
    answer = ask("run", "config.toml", "--dry-run")
    check_answer(answer, codes=(2,))
    assert "\\u001b[2J\\u0007: unknown section" in answer.err
    assert "training.ro\\u202eunds: unknown key; did you mean rounds?" in answer.err
    assert "\n  - note: [genotype.a Error: forged] is passed over" in answer.err


def test_a_run_is_kept_in_its_folder_whatever_its_config_is_called(tmp_path: Path) -> None:
    odd = tmp_path / ("\x1b[31m.. " + "x" * 200 + ".toml")
    odd.write_bytes((ROOT / "examples" / "digits.toml").read_bytes())
    answer = ask("run", odd, "--quiet", "--set", "training.rounds=1")
    assert answer.code == 0
    assert is_harmless(answer.out + answer.err)
    (run,) = Path("runs").iterdir()
    assert len(run.name) < 150
    assert run.name.isprintable()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../../escaped"}, "name: found '../../escaped'; allowed: letters, digits"),
        ({"name": "/absolute"}, "name: found '/absolute'"),
        ({"name": "x" * 101}, "name: found 'xxxx"),
        ({"grid": {f"k{i}": list(range(10)) for i in range(12)}}, "1,000,000,000,000 trials"),
        ({"seeds": list(range(10_001))}, "found:   10,001 trials"),
        ({"rows": {str(i): {} for i in range(2000)}, "grid": {"k": list(range(9))}}, "18,000 trials"),
        ({"rows": {"a": {"training": 3}}}, "training = 3\n  allowed: a table: [training]"),
        ({"base": "a\0b"}, "cannot read the config"),
        ({"rows": {"a/b": {}, "a:b": {}}}, "two trials would share a-b-seed0"),
    ],
)
def test_a_hostile_sweep_is_explained(changes: dict, said: str) -> None:
    tables = {"config": digits_tables(), "rows": {"one": {}}} | changes
    Path("sweep.toml").write_text(as_toml(tables), encoding="utf-8")
    answer = ask("sweep", "sweep.toml", "--out", "swept", "--results", "published")
    check_answer(answer, codes=(2,))
    assert said in answer.err
    assert not Path("swept").exists()


def test_rows_cannot_leave_the_folder_of_their_sweep(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    rows = {"../../up": {}, "/etc": {}, "\x1b[31m[bold]$\\frac|\n": {}, "y" * 300: {}}
    absent = {"genotype": {"absent-plugin": {"since": datetime.date(1979, 5, 27)}}}
    tables = {"config": digits_tables(rounds=1) | absent, "rows": rows, "title": "\x1b[2J$\\frac{"}
    Path("inner/sweep.toml").write_text(as_toml(tables), encoding="utf-8")
    arguments = ["inner/sweep.toml", "--out", "inner/swept", "--results", "inner/published"]
    answer = ask("sweep", *arguments)
    assert answer.code == 0, answer
    assert is_harmless(answer.out + answer.err)
    trials = [trial.name for trial in Path("inner/swept/trials").iterdir()]
    assert sorted(name[:12] for name in trials) == [
        "-31m-bold-fr",
        "-etc-seed0",
        "..-..-up-see",
        "yyyyyyyyyyyy",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"inner"}
    assert {path.name for path in (tmp_path / "inner").iterdir()} == {"sweep.toml", "swept", "published"}
    assert ask("report", "inner/swept", "--figure", "accuracy").code == 0
    assert ask("sweep", *arguments).code == 0

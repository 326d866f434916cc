"""Sweeps: continued where interrupted, failures listed, one table in four forms."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from helpers import digits_tables

import genophen
from genophen.cli import main
from genophen.config.toml import read_toml, write_toml
from genophen.contracts.executor import Job, Outcome
from genophen.plugins.loading import load_plugins
from genophen.sweep.file import merged, read_sweep
from genophen.sweep.provenance import as_list
from genophen.sweep.results import read_results
from genophen.sweep.sweep import Trial, plan, run_sweep, select
from genophen.sweep.table import as_csv, as_markdown, as_text, sweep_rows

ROWS = {
    "Hyper4_4": {
        "genotype": {"hypernetwork": {"embedding_dim": 4}},
        "published": {"test_accuracy": 0.9, "kernel_parameters": 4000, "erratum": "it should be 4244"},
    },
    "ConvModel": {"genotype": {"name": "direct"}, "seeds": [0]},
}


def sweep_file(folder: Path, **changes: Any) -> Path:
    tables = {"config": digits_tables(rounds=1), "seeds": [0, 1], "rows": ROWS, **changes}
    tables = {key: value for key, value in tables.items() if value is not None}
    file = folder / "small.toml"
    file.write_text(write_toml(tables))
    return file


def run(file: Path, out: Path, executor: str = "local", jobs: int = 1, only: tuple[str, ...] = ()) -> Any:
    """Run a sweep; its outcomes by trial, and its table."""
    plugins = load_plugins()
    sweep = read_sweep(file)
    outcomes: dict[str, Outcome] = {}

    def note(trial: Trial, outcome: Outcome) -> None:
        outcomes[trial.directory.name] = outcome

    every = plan(sweep, out, plugins)
    executing = plugins.executor(executor, jobs)
    interrupted = run_sweep(sweep, select(every, only), out, executing, [], note)
    assert not interrupted
    failures = {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
    return outcomes, sweep_rows(sweep.rows, every, failures)


def without_seconds(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table less what the clock says."""
    for line in lines:
        del line["seconds_mean"]
        for trial in line["trials"]:
            del trial["wall_seconds"]
    return lines


def test_a_sweep_runs_every_row_with_every_seed_and_ends_in_a_table(tmp_path: Path) -> None:
    outcomes, lines = run(sweep_file(tmp_path), tmp_path / "out")
    assert list(outcomes) == ["Hyper4_4-seed0", "Hyper4_4-seed1", "ConvModel-seed0"]
    hyper, conv = lines
    results = [
        json.loads((tmp_path / "out" / "trials" / f"Hyper4_4-seed{seed}" / "result.json").read_text())
        for seed in (0, 1)
    ]
    accuracies = [result["test_accuracy"] for result in results]
    assert hyper["test_accuracy_mean"] == pytest.approx(sum(accuracies) / 2)
    assert hyper["test_accuracy_std"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
    assert (hyper["kernel_parameters"], hyper["total_parameters"], hyper["seeds"]) == (4244, 12894, [0, 1])
    assert (hyper["reported_test_accuracy"], hyper["status"]) == (0.9, "done")
    assert (conv["test_accuracy_std"], conv["kernel_parameters"], conv["status"]) == (None, 12560, "done")
    for trial, result in zip(hyper["trials"], results, strict=True):
        # A sample forward and backward is three evaluations, and every round has all training images.
        counted = (trial["sample_evaluations"], trial["backward_samples"])
        assert counted == (result["sample_evaluations"], result["backward_samples"])
        assert counted == (3 * trial["images"]["train"], trial["images"]["train"])
        assert trial["images"] == {"train": 1197, "validation": 200, "test": 400}
    saved = read_toml(tmp_path / "out" / "sweep.toml")
    assert saved["rows"]["ConvModel"]["seeds"] == [0]

    markdown = as_markdown(lines)
    assert "| Hyper4_4 |" in markdown
    assert "4,000\\*" in markdown
    assert "\\* Hyper4_4: it should be 4244." in markdown
    read = list(csv.DictReader(as_csv(lines).splitlines()))
    assert float(read[0]["test_accuracy_mean"]) == hyper["test_accuracy_mean"]
    assert read[0]["seeds"] == "0 1"
    assert len(as_text(lines).splitlines()) == 3


def test_the_saved_sweep_is_a_sweep_file_again(tmp_path: Path) -> None:
    run(sweep_file(tmp_path, config=digits_tables(rounds=1, seed=7)), tmp_path / "out", only=("ConvModel",))
    again = read_sweep(tmp_path / "out" / "sweep.toml")
    assert [(row.name, row.seeds) for row in again.rows] == [("Hyper4_4", (0, 1)), ("ConvModel", (0,))]
    assert run(tmp_path / "out" / "sweep.toml", tmp_path / "out", only=("ConvModel",))[0] == {}


def test_finished_trials_are_not_run_again_and_unrun_rows_say_so(tmp_path: Path) -> None:
    file, out = sweep_file(tmp_path), tmp_path / "out"
    outcomes, lines = run(file, out, only=("ConvModel",))
    assert list(outcomes) == ["ConvModel-seed0"]
    assert [line["status"] for line in lines] == ["not run", "done"]
    assert lines[0]["test_accuracy_mean"] is None
    outcomes, lines = run(file, out)
    assert list(outcomes) == ["Hyper4_4-seed0", "Hyper4_4-seed1"]
    assert [line["status"] for line in lines] == ["done", "done"]
    assert run(file, out)[0] == {}


def test_results_of_two_sittings_are_merged_by_row_and_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, results = sweep_file(tmp_path), tmp_path / "results"
    for out, options in (("first", ["--seed", "0"]), ("second", ["--seed", "1", "--only", "Hyper4_4"])):
        with pytest.raises(SystemExit) as caught:
            main(
                ["sweep", str(file), "--out", out, "--results", str(results), "--title", "My table", *options]
            )
        assert caught.value.code == 0
    hyper, conv = json.loads((results / "small.json").read_text())
    assert (hyper["seeds"], hyper["status"]) == ([0, 1], "done")
    assert (conv["seeds"], conv["status"]) == ([0], "done")
    page = (results / "small.md").read_text()
    assert page.startswith("# My table\n")
    assert "- Data: digits, SHA-256 492a93bf" in page
    assert "Not recorded" not in page
    # Each seed says where it comes from, also once its run directory is gone.
    for trial in hyper["trials"] + conv["trials"]:
        assert trial["provenance"]["data"].startswith("digits, SHA-256 492a93bf")
        assert f"torch {torch.__version__}" in trial["provenance"]["versions"]
    # Another setting is another table: nothing is mixed, and nothing is lost.
    before = (results / "small.json").read_bytes()
    arguments = ["sweep", str(file), "--out", "third", "--results", str(results), "--set"]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "training.batch_size=50"])
    assert caught.value.code == 2
    said = "row Hyper4_4, seed 0, was run with other settings (training.batch_size)"
    assert said in capsys.readouterr().err
    assert (results / "small.json").read_bytes() == before


def test_where_published_trials_come_from_outlives_their_folders(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"provenance": {"commit": f"c{seed}", "versions": "torch 2", "machine": f"m{seed}", "data": "d"}}
        for seed in (0, 1)
    ]
    lines = [{"trials": [records[0]]}, {"trials": [records[1], {"seed": 2}]}, {}]
    assert as_list(lines) == [
        "- Commit: c0, c1",
        "- Versions: torch 2",
        "- Machine: m0, m1",
        "- Data: d",
        "- Not recorded for 1 of 3 trials",
    ]


def test_a_results_file_that_is_no_table_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text('{"mine": 1}')
    with pytest.raises(genophen.DamagedError, match=r"cannot read .*small\.json"):
        read_results(tmp_path, "small")
    assert read_results(tmp_path, "absent") == []


def test_a_trial_run_with_other_settings_is_not_taken_for_this_one(tmp_path: Path) -> None:
    run(sweep_file(tmp_path), tmp_path / "out", only=("ConvModel",))
    file = sweep_file(tmp_path, config=digits_tables(rounds=2))
    with pytest.raises(genophen.ConfigError) as caught:
        run(file, tmp_path / "out")
    assert "ConvModel-seed0 was run with other settings" in str(caught.value)
    assert [str(problem) for problem in caught.value.problems] == ["training.rounds: 1 there, 2 now"]


def test_data_that_has_moved_is_no_other_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sweep_file(tmp_path)
    run(file, tmp_path / "out", only=("ConvModel",))
    monkeypatch.setenv("GENOPHEN_DATA", str(tmp_path / "elsewhere"))
    assert run(file, tmp_path / "out", only=("ConvModel",))[0] == {}


def test_diverged_and_failed_trials_are_listed_and_count_in_no_mean(tmp_path: Path) -> None:
    wild = {"learning_rate": 1e38, "schedule": "constant"}
    rows = {
        "diverges": {"optimizer": {"name": "sgd", "sgd": wild}},
        "fails": {"architecture": {"mnist-cnn": {"num_outputs": 4}}},
        "works": {},
    }
    outcomes, lines = run(sweep_file(tmp_path, rows=rows, seeds=[0]), tmp_path / "out")
    assert lines[0]["status"] == "0 of 1 done; seed 0: diverged"
    assert lines[0]["test_accuracy_mean"] is None
    assert "10 classes, an architecture with 4 outputs" in lines[1]["status"]
    assert lines[1]["test_accuracy_mean"] is None
    assert lines[2]["status"] == "done"
    assert outcomes["fails-seed0"].error.startswith("ConfigError: ")
    again, _ = run(sweep_file(tmp_path, rows=rows, seeds=[0]), tmp_path / "out")
    assert list(again) == ["fails-seed0"]  # a failure may have passed; a divergence would come again


def test_a_failure_stays_on_record_until_the_trial_is_run_again(tmp_path: Path) -> None:
    rows = {"fails": {"architecture": {"mnist-cnn": {"num_outputs": 4}}}, "works": {}}
    run(sweep_file(tmp_path, rows=rows, seeds=[0]), tmp_path / "out", only=("fails",))
    outcomes, lines = run(sweep_file(tmp_path, rows=rows, seeds=[0]), tmp_path / "out", only=("works",))
    assert list(outcomes) == ["works-seed0"]
    assert lines[0]["status"].startswith("0 of 1 done; seed 0: ConfigError: cannot train mnist-cnn on digits")
    assert lines[1]["status"] == "done"
    _, lines = run(sweep_file(tmp_path, rows={"fails": {}, "works": {}}, seeds=[0]), tmp_path / "out")
    assert [line["status"] for line in lines] == ["done", "done"]
    assert not (tmp_path / "out" / "trials" / "fails-seed0" / "failure.json").exists()


def test_a_setting_can_name_the_seed(tmp_path: Path) -> None:
    file = sweep_file(
        tmp_path, rows={"warm": {"optimizer": {"name": "snes", "snes": {"warm_start": "a-{seed}/b"}}}}
    )
    trials = plan(read_sweep(file), tmp_path / "out", load_plugins())
    starts = [Path(trial.config.settings()["optimizer.snes.warm_start"]) for trial in trials]
    assert [start.relative_to(Path.cwd()).as_posix() for start in starts] == ["a-0/b", "a-1/b"]


def test_a_grid_is_every_combination(tmp_path: Path) -> None:
    grid = {
        "optimizer": {"adam": {"learning_rate": [0.003, 0.004]}},
        "genotype": {"hypernetwork": {"embedding_dim": [4, 5, 6]}},
    }
    sweep = read_sweep(sweep_file(tmp_path, rows=None, grid=grid))
    assert len(sweep.rows) == 6
    assert sweep.rows[1].name == "learning_rate=0.003, embedding_dim=5"
    assert sweep.rows[1].tables["genotype"]["hypernetwork"]["embedding_dim"] == 5
    assert sweep.rows[1].tables["training"]["rounds"] == 1
    both = read_sweep(sweep_file(tmp_path, grid=grid))
    assert len(both.rows) == 12
    assert both.rows[0].name == "Hyper4_4, learning_rate=0.003, embedding_dim=4"
    names = {trial.directory.name for trial in plan(both, tmp_path, load_plugins())}
    assert len(names) == 6 * 2 + 6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rowz": {}}, "rowz: unknown key; did you mean rows?"),
        ({"rows": None}, "rows: is missing"),
        ({"rows": [1]}, "rows: found [1]; allowed: a table"),
        ({"seeds": [0, 0]}, "seeds = [0, 0]"),
        ({"seeds": []}, "seeds = []"),
        ({"seeds": [True]}, "seeds = [True]"),
        ({"rows": {"a": {"optimiser": {}}}}, "optimiser: unknown key"),
        ({"rows": {"a": {"published": {"accuracy": 1.0}}}}, "rows.a.published.accuracy: unknown key"),
        ({"grid": {"training": {"seed": 3}}}, "grid.training.seed = 3"),
        ({"rows": {"a": {"training": {"seed": 3}}}}, "list it under seeds"),
        ({"base": "absent.toml"}, "absent.toml"),
        ({"rows": {"a": {"training": {"rounds": 0}}}}, "found 0; allowed: greater than or equal to 1"),
        ({"rows": {"a b": {}, "a/b": {}}}, "two trials would share a-b-seed0"),
    ],
)
def test_a_sweep_file_with_a_mistake_is_explained(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(genophen.ConfigError) as caught:
        plan(read_sweep(sweep_file(tmp_path, **changes)), tmp_path / "out", load_plugins())
    assert said in str(caught.value)


def test_mistakes_of_all_rows_are_named_at_once(tmp_path: Path) -> None:
    rows = {"a": {"training": {"rounds": 0}}, "b": {}, "c": {"training": {"ronds": 3, "batch_size": -1}}}
    with pytest.raises(genophen.ConfigError) as caught:
        plan(read_sweep(sweep_file(tmp_path, rows=rows)), tmp_path / "out", load_plugins())
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {"a: training.rounds", "c: training.ronds", "c: training.batch_size"}


def test_an_unknown_row_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(genophen.ConfigError, match="did you mean Hyper4_4"):
        select(plan(read_sweep(sweep_file(tmp_path)), tmp_path / "out", load_plugins()), only=["Hyper4_5"])


def test_a_seed_that_no_row_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(genophen.ConfigError, match="no row has it") as caught:
        select(plan(read_sweep(sweep_file(tmp_path)), tmp_path / "out", load_plugins()), seeds=[9])
    assert caught.value.allowed == "0, 1"


def command(file: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "genophen", "sweep", str(file), "--out", str(out), "--json", *options]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_sweep_killed_at_random_moments_ends_in_the_same_table(tmp_path: Path) -> None:
    file = sweep_file(tmp_path)
    process = command(file, tmp_path / "undisturbed")
    started = time.monotonic()
    undisturbed, errors = process.communicate(timeout=300)
    seconds = time.monotonic() - started
    assert process.returncode == 0, errors
    draws = random.Random(0)
    for _ in range(3):
        process = command(file, tmp_path / "killed")
        time.sleep(draws.uniform(0.4, 0.9) * seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = command(file, tmp_path / "killed")
    continued, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert without_seconds(json.loads(continued)) == without_seconds(json.loads(undisturbed))
    table = json.loads((tmp_path / "killed" / "table.json").read_text())
    assert without_seconds(table) == without_seconds(json.loads(undisturbed))


def test_an_interrupted_trial_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    file = sweep_file(
        tmp_path, config=digits_tables(rounds=4, checkpoint_rounds=1), rows={"one": {}}, seeds=[0]
    )
    run(file, tmp_path / "whole")
    process = command(file, tmp_path / "out")
    trial, deadline = tmp_path / "out" / "trials" / "one-seed0", time.monotonic() + 120
    while not (trial / "checkpoints" / "round-00002-step-00000").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    earlier = (trial / "timings.jsonl").read_text().splitlines()[:3]
    outcomes, _ = run(file, tmp_path / "out")
    assert outcomes["one-seed0"].value == "completed"
    assert (trial / "timings.jsonl").read_text().splitlines()[:3] == earlier  # not trained again
    whole = tmp_path / "whole" / "trials" / "one-seed0"
    for name in (
        "metrics.jsonl",
        "checkpoints/round-00004-step-00000/state.safetensors",
        "best/manifest.json",
    ):
        assert (trial / name).read_bytes() == (whole / name).read_bytes()


def test_an_unfinished_trial_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    run(sweep_file(tmp_path), tmp_path / "out", only=("ConvModel",))
    (tmp_path / "out" / "trials" / "ConvModel-seed0" / "result.json").unlink()
    with pytest.raises(genophen.ConfigError, match="ConvModel-seed0 was run with other settings"):
        run(sweep_file(tmp_path, config=digits_tables(rounds=2)), tmp_path / "out")


def test_a_trial_killed_before_it_had_a_config_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "out" / "trials" / "ConvModel-seed0").mkdir(parents=True)
    (tmp_path / "out" / "trials" / "ConvModel-seed0" / ".config.toml.part").write_text("[data")
    outcomes, _ = run(sweep_file(tmp_path), tmp_path / "out", only=("ConvModel",))
    assert outcomes["ConvModel-seed0"].value == "completed"


def test_an_interrupted_sweep_exits_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    tables = digits_tables(rounds=10_000, patience=0)
    process = command(sweep_file(tmp_path, config=tables), tmp_path / "out")
    deadline = time.monotonic() + 120
    metrics = tmp_path / "out" / "trials" / "Hyper4_4-seed0" / "metrics.jsonl"
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "The same command goes on" in err
    assert json.loads(out)[0]["status"] == "0 of 2 done; seed 0: interrupted"


def children(pid: int) -> list[int]:
    """The process numbers of all descendants that run Python."""
    done = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True)
    lines = [line.split(None, 2) for line in done.stdout.splitlines()[1:]]
    found = [int(child) for child, parent, arguments in lines if int(parent) == pid and "python" in arguments]
    return [*found, *(descendant for child in found for descendant in children(child))]


def trial_workers(pid: int) -> list[int]:
    """The processes among them that run trials."""
    return [child for child in children(pid) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_sweep(number: int, tmp_path: Path) -> None:
    tables = digits_tables(rounds=10_000, patience=0)
    process = command(sweep_file(tmp_path, config=tables), tmp_path / "out", "--jobs", "2")
    trials, deadline = tmp_path / "out" / "trials", time.monotonic() + 120
    while len(list(trials.glob("*/metrics.jsonl"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = children(process.pid)
    assert len(workers) >= 2
    process.send_signal(number)
    try:
        process.communicate(timeout=60)
    finally:
        process.kill()
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))
    assert not (trials / "ConvModel-seed0").exists()  # nothing more was begun
    assert process.returncode == (130 if number == signal.SIGINT else -number)


def test_several_jobs_share_the_work(tmp_path: Path) -> None:
    outcomes, lines = run(sweep_file(tmp_path), tmp_path / "out", jobs=2)
    assert {outcome.value for outcome in outcomes.values()} == {"completed"}
    assert [line["status"] for line in lines] == ["done", "done"]


def attempt(folder: Path, name: str, deaths: int, seconds: float = 0) -> int:
    """Note in a file that the job was begun, and end the process as often as asked; the attempts."""
    with (folder / name).open("a") as file:
        file.write("begun\n")
    attempts = len((folder / name).read_text().splitlines())
    if attempts <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds)
    return attempts


def test_a_worker_that_dies_costs_its_own_job_alone(tmp_path: Path) -> None:
    executor = load_plugins().get("executor", "local").cls(jobs=2)
    deaths = {"beside": 0, "dies": 99, "dies once": 1, "last": 0}
    queue = [
        Job(name, attempt, (tmp_path, name, count, 8.0 if name == "beside" else 0.0))
        for name, count in deaths.items()
    ]
    outcomes = {outcome.job.name: outcome for outcome in executor.run(queue)}
    assert {name: outcome.value for name, outcome in outcomes.items()} == {
        "beside": 1,  # at work while the others died, and not begun again
        "dies": None,
        "dies once": 2,
        "last": 1,
    }
    assert outcomes["dies"].error.startswith("its process died, twice")
    assert (tmp_path / "dies").read_text() == "begun\n" * 2
    assert outcomes["dies once"].note == "its process died once, and it was begun again"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_trial_whose_process_is_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    tables = digits_tables(rounds=6, patience=0, checkpoint_rounds=1)
    file = sweep_file(tmp_path, config=tables, rows={"one": {}})
    run(file, tmp_path / "whole", jobs=2)
    process = command(file, tmp_path / "out", "--jobs", "2")
    trials, deadline = tmp_path / "out" / "trials", time.monotonic() + 120
    while len(list(trials.glob("*/checkpoints/round-00002*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    killed = trial_workers(process.pid)[0]
    os.kill(killed, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors.count("its process died once, and it was begun again") == 1
    for name in ("one-seed0", "one-seed1"):
        for part in ("metrics.jsonl", "checkpoints/round-00006-step-00000/state.safetensors"):
            whole = tmp_path / "whole" / "trials" / name / part
            assert (trials / name / part).read_bytes() == whole.read_bytes()


@pytest.mark.filterwarnings("ignore")  # Ray's own start-up
def test_a_sweep_runs_on_a_local_ray(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="the extra [evolution] brings Ray")
    try:
        outcomes, lines = run(sweep_file(tmp_path), tmp_path / "out", executor="ray")
    finally:
        ray.shutdown()
    assert {outcome.value for outcome in outcomes.values()} == {"completed"}
    assert [line["status"] for line in lines] == ["done", "done"]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    executor = load_plugins().get("executor", "ray").cls()
    with pytest.raises(genophen.GenophenError, match=re.escape(genophen.install_command("evolution"))):
        list(executor.run([]))


def test_merging_changes_neither_side() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    top = {"a": {"b": 9}, "d": {"e": 1}}
    assert merged(base, top) == {"a": {"b": 9, "c": 2}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


#: Comparisons of genotypes, and what each optimises with.
ONE_SIDED = {
    "encodings_mnist": {"adam"},
    "encodings_block3": {"adam"},
    "encodings_mnist_evolution": {"cma-es"},
    "mnist_neat": {"neat", "adam"},
    "mnist_search": {"cma-es"},
    "shakespeare": {"adam"},
    "associative_retrieval": {"adam"},
    "sequential_mnist": {"adam"},
    "classic_control": {"cma-es"},
    "double_pole": {"cma-es", "random-search"},
}


@pytest.mark.parametrize(
    "file", sorted((ROOT / "examples" / "comparisons").glob("*.toml")), ids=lambda f: f.stem
)
def test_the_comparisons_are_sweeps_of_both_sides(file: Path, tmp_path: Path) -> None:
    assert file.read_text().startswith(f"# genophen sweep examples/comparisons/{file.name} --out runs/")
    trials = plan(read_sweep(file), tmp_path, load_plugins())
    optimizers = {trial.config.optimizer.name for trial in trials}
    assert optimizers == ONE_SIDED.get(file.stem, {"adam", "cma-es"})


@pytest.mark.parametrize(
    ("file", "sizes"),
    [
        ("encodings_mnist", [1601, 4244, 7175]),
        ("encodings_mnist_evolution", [4244]),
        ("encodings_block3", [7296]),
    ],
)
def test_encodings_are_compared_at_equal_kernel_parameters(
    file: str, sizes: list[int], tmp_path: Path
) -> None:
    plugins, counts = load_plugins(), {}
    sweep = read_sweep(ROOT / "examples" / "comparisons" / f"{file}.toml")
    for trial in plan(sweep, tmp_path, plugins):
        config = trial.config
        architecture = plugins.get("architecture", config.architecture.name).cls()
        genotype = plugins.get("genotype", config.genotype.name).cls
        phenotype = genophen.compile_phenotype(
            architecture.build(), architecture.expressed(), genotype, config.genotype.options
        )
        counts[trial.row.name] = phenotype.parameter_counts().kernel
    counts.pop("direct", None)
    assert len(counts) == 7 * len(sizes)
    for name, count in counts.items():
        assert min(abs(count / size - 1) for size in sizes) < 0.03, (name, count)


@pytest.mark.filterwarnings("ignore:.*has more numbers than it writes")
def test_recurrent_networks_are_compared_at_equal_total_parameters(tmp_path: Path) -> None:
    plugins, counts = load_plugins(), {}
    sweep = read_sweep(ROOT / "examples" / "comparisons" / "shakespeare.toml")
    for trial in plan(sweep, tmp_path, plugins):
        config = trial.config
        made = plugins.get("architecture", config.architecture.name).cls(config.architecture.options)
        made.fill_in((65,), 65)
        genotype = plugins.get("genotype", config.genotype.name).cls
        phenotype = genophen.compile_phenotype(
            made.build(), made.expressed(), genotype, config.genotype.options
        )
        counts[trial.row.name] = phenotype.parameter_counts().total
    static = counts.pop("static hypernetwork")
    assert len(counts) == 6
    assert all(abs(count / counts["LSTM"] - 1) < 0.02 for count in counts.values()), counts
    assert 0.24 < static / counts["LSTM"] < 0.25


TABLES = [
    file
    for file in sorted((ROOT / "examples" / "tables").rglob("*.toml"))
    if not file.stem.startswith(("ptb_", "enwik8_"))  # configs of one run
]
#: Rows of the sweeps that are not one of the four result tables.
OTHERS = {"table6_faithful": 3, "table7_faithful": 24, "ablation_mnist": 4, "ablation_block3": 5}


@pytest.mark.parametrize(
    "file", TABLES, ids=lambda file: file.relative_to(ROOT / "examples/tables").as_posix()
)
def test_the_reports_tables_are_sweeps_with_every_row(file: Path, tmp_path: Path) -> None:
    sweep = read_sweep(file)
    command = f"# genophen sweep {file.relative_to(ROOT)} --out runs/{sweep.name}\n"
    assert file.read_text().startswith(command)
    plan(sweep, tmp_path, load_plugins())
    reported = json.loads((ROOT / "tests" / "report_tables.json").read_text())
    number = file.stem[5]
    if sweep.name in OTHERS:
        assert len(sweep.rows) == OTHERS[sweep.name]
        return
    expected = {
        row["model"]: (
            round(row["reported_test_accuracy_percent"] / 100, 4),
            row["reported_kernel_parameters"],
            row.get("erratum"),
        )
        for row in reported
        if row["table"] == number
    }
    assert expected == {
        row.name: (row.published.test_accuracy, row.published.kernel_parameters, row.published.erratum)
        for row in sweep.rows
    }


@pytest.mark.parametrize("number", "234567")
def test_the_faithful_tables_train_by_the_reports_words(number: str, tmp_path: Path) -> None:
    file = ROOT / "examples" / "tables" / "faithful" / f"table{number}.toml"
    on_mnist = number in "267"
    for trial in plan(read_sweep(file), tmp_path, load_plugins()):
        settings = trial.settings()
        said = {
            "augmentation.padding": 1 if on_mnist else 2,
            "augmentation.crop": True,
            "augmentation.flip": False,
            "dataset.validation_size": 5000,
            "optimizer.name": "adam",
            "optimizer.adam.schedule": "decay",
            "optimizer.adam.decay": 0.999,
            "training.batch_size": 1000 if on_mnist else 128,
            "training.precision": "float32",
            "training.direct_initialization": "torch",
        }
        if not on_mnist:
            said[f"architecture.{settings['architecture.name']}.block_dropout"] = 0.4
        if settings["genotype.name"] == "hypernetwork":
            said["genotype.hypernetwork.normalization"] = "none"
        assert said == {key: settings[key] for key in said}, trial.directory.name
        assert settings["optimizer.adam.learning_rate"] in (0.003, 0.004, 0.005)

"""Comparisons: statistics against scipy's, on runs with given numbers; one comparison of true runs."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from helpers import digits_tables
from PIL import Image

import genophen
from genophen.cli import main
from genophen.compare.analysis import Comparison, analyse, pairs_of
from genophen.compare.curves import read_curves
from genophen.compare.groups import Group, read_groups
from genophen.compare.output import write_comparison
from genophen.compare.statistics import bootstrap_images, holm, paired_t_test, t_interval
from genophen.compare.text import as_json, as_markdown, as_text, conclusion
from genophen.config.toml import write_toml
from genophen.contracts.measure import ACCURACY
from genophen.plugins.loading import load_plugins
from genophen.sweep.file import merged

FIRST = [0.95, 0.96, 0.955, 0.948, 0.951]
SECOND = [0.94, 0.957, 0.941, 0.943, 0.939]
SGD = {"optimizer": {"name": "sgd"}}


def write_run(
    folder: Path,
    seed: int,
    accuracy: float | None,
    config: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A run directory as a training would leave it, with these numbers; `changes` are to its result."""
    tables = merged(digits_tables(seed=seed), config or {})
    result = {
        "status": "completed",
        "stop_reason": None,
        "signal": None,
        "rounds": 3,
        "best_round": 3,
        **{kind: tables[kind]["name"] for kind in ("architecture", "genotype", "optimizer", "dataset")},
        "seed": seed,
        "task": "classification",
        **ACCURACY.as_record(),
        "validation_score": accuracy,
        "test_score": accuracy,
        "parameters": {"total": 12894, "kernel": 4244, "searched": 12894},
        "sample_evaluations": 3000,
        "backward_samples": 1000,
        "wall_seconds": 2.5,
    }
    made_with = {
        "packages": {},
        "machine": {"device": "cpu", "device_name": "processor", "threads": 1},
        "git_commit": None,
        "dataset": {"name": "digits", "sha256": "ab" * 32},
        "plugins": [],
    }
    accuracies = [0.1, 0.5, 0.4, accuracy or 0.0]
    metrics = [
        {"round": number, "validation_score": value, "sample_evaluations": 1000 * number}
        for number, value in enumerate(accuracies)
    ]
    timings = [{"round": number, "seconds": 0.5} for number in range(len(accuracies))]
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(write_toml(tables))
    (folder / "result.json").write_text(json.dumps(result | changes))
    (folder / "environment.json").write_text(json.dumps(merged(made_with, environment or {})))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in metrics))
    (folder / "timings.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in timings))
    return folder


def write_runs(
    folder: Path, name: str, accuracies: Sequence[float | None], config: Mapping[str, Any] | None = None
) -> list[Path]:
    return [
        write_run(folder / f"{name}{seed}", seed, accuracy, config)
        for seed, accuracy in enumerate(accuracies)
    ]


def groups_of(*directories: Path) -> list[Group]:
    return read_groups(directories, load_plugins())


def compared(*directories: Path) -> Comparison:
    groups = groups_of(*directories)
    return analyse(groups, pairs_of(groups), {})


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["compare", *map(str, arguments)])
    return int(caught.value.code or 0)


def test_t_interval_and_paired_test_are_scipys() -> None:
    expected = scipy.stats.t.interval(0.95, 4, loc=np.mean(FIRST), scale=scipy.stats.sem(FIRST))
    assert t_interval(FIRST) == pytest.approx(expected, abs=1e-12)
    assert t_interval([0.5]) is None
    differences = np.subtract(FIRST, SECOND).tolist()
    assert paired_t_test(differences) == pytest.approx(scipy.stats.ttest_rel(FIRST, SECOND).pvalue)
    assert paired_t_test([0.1 + 0.2 - 0.3, 0.0, 0.0]) is None


def test_holms_correction_by_hand() -> None:
    # In order: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1, which may not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_bootstrap_draws_images() -> None:
    generator = np.random.default_rng(1)
    differences = generator.choice([-1.0, 0.0, 0.5, 1.0], size=400, p=[0.05, 0.8, 0.05, 0.1])
    found = bootstrap_images(differences)
    drawn = differences[generator.integers(400, size=(10_000, 400))].mean(1)
    assert found == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.002)
    assert bootstrap_images(differences) == found
    assert bootstrap_images(differences, seed=1) != found
    assert bootstrap_images(np.zeros(10)) == (0.0, 0.0)


def test_five_seeds_make_a_claim(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, "adam", FIRST) + write_runs(tmp_path, "sgd", SECOND, SGD)
    comparison = compared(*runs)
    adam, sgd = comparison.groups
    assert (adam.name, adam.n, adam.seeds) == ("adam", 5, [0, 1, 2, 3, 4])
    assert adam.test_score_mean == pytest.approx(0.9528)
    assert sgd.test_score_std == pytest.approx(np.std(SECOND, ddof=1))
    assert (adam.sample_evaluations_mean, adam.wall_seconds_mean, adam.kernel_parameters) == (3000, 2.5, 4244)
    (pair,) = comparison.pairs
    test = scipy.stats.ttest_rel(FIRST, SECOND)
    assert pair.difference == pytest.approx(0.0088)
    assert pair.p == pair.p_holm == pytest.approx(test.pvalue)
    assert pair.interval == pytest.approx(tuple(test.confidence_interval()), abs=1e-12)
    assert pair.different_settings == ["optimizer.name"]
    assert comparison.warnings == []
    assert conclusion(pair, comparison) == (
        "adam is ahead of sgd by 0.88 points: the 95% interval over 5 seeds 0.30 to 1.46 excludes 0 "
        "(p = 0.013)."
    )
    backwards = compared(*reversed(runs))
    assert backwards.pairs[0].difference == pytest.approx(-0.0088)
    assert conclusion(backwards.pairs[0], backwards) == conclusion(pair, comparison)


def test_an_interval_with_zero_in_it_is_no_difference(tmp_path: Path) -> None:
    shuffled = [SECOND[0] + 0.02, *SECOND[1:]]
    runs = write_runs(tmp_path, "a", SECOND) + write_runs(tmp_path, "b", shuffled, SGD)
    comparison = compared(*runs)
    said = conclusion(comparison.pairs[0], comparison)
    assert said.startswith(
        "sgd and adam: no difference is shown: sgd leads by 0.40 points, but the 95% interval"
    )
    assert "-0.71 to 1.51 includes 0 (p = 0.37)" in said


@pytest.mark.parametrize("count", [1, 4])
def test_under_five_seeds_n_is_too_small(count: int, tmp_path: Path) -> None:
    runs = write_runs(tmp_path, "a", FIRST[:count]) + write_runs(tmp_path, "b", SECOND, SGD)
    comparison = compared(*runs)
    (pair,) = comparison.pairs
    assert (pair.interval, pair.p, pair.p_holm, pair.seeds) == (None, None, None, list(range(count)))
    assert pair.difference == pytest.approx(np.subtract(FIRST, SECOND)[:count].mean())
    said = f"adam and sgd: n too small (seeds in common: {count}; needed: 5). Not equal: seeds."
    assert conclusion(pair, comparison) == said
    assert "n too small" in as_text(comparison)
    assert "ahead" not in as_text(comparison)


def test_equal_differences_are_no_claim(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, "a", FIRST) + write_runs(tmp_path, "b", [x - 0.01 for x in FIRST], SGD)
    comparison = compared(*runs)
    assert (comparison.pairs[0].p, comparison.pairs[0].interval) == (None, None)
    assert "its spread cannot be estimated" in conclusion(comparison.pairs[0], comparison)
    assert "no spread" in as_text(comparison)


def test_several_pairs_are_corrected_and_a_baseline_makes_them_fewer(tmp_path: Path) -> None:
    third = [0.943, 0.957, 0.95, 0.944, 0.942]
    adamw = {"optimizer": {"name": "adamw"}}
    runs = write_runs(tmp_path, "a", FIRST) + write_runs(tmp_path, "b", SECOND, SGD)
    runs += write_runs(tmp_path, "c", third, adamw)
    comparison = compared(*runs)
    p = [scipy.stats.ttest_rel(*pair).pvalue for pair in ((FIRST, SECOND), (FIRST, third), (SECOND, third))]
    assert [pair.p for pair in comparison.pairs] == pytest.approx(p)
    assert [pair.p_holm for pair in comparison.pairs] == pytest.approx(holm(p))
    said = conclusion(comparison.pairs[0], comparison)
    assert f"{holm(p)[0]:.2g} with Holm's correction for 3 comparisons" in said
    groups = groups_of(*runs)
    pairs = analyse(groups, pairs_of(groups, "sgd"), {}).pairs
    assert [(pair.first, pair.second) for pair in pairs] == [("adam", "sgd"), ("adamw", "sgd")]
    with pytest.raises(genophen.ConfigError, match="did you mean sgd"):
        pairs_of(groups, "sdg")


def test_a_difference_that_the_correction_takes_back_is_no_claim(tmp_path: Path) -> None:
    # p = 0.037 by itself, 0.11 as the smallest of three.
    first = [0.012, 0.004, 0.011, 0.001, 0.007]
    runs = [
        write_run(tmp_path / f"{name}{seed}", seed, value, {"optimizer": {"name": name}})
        for name, values in {"adam": first, "sgd": [0.0] * 5, "adamw": [0.02, 0.0, 0.0, 0.01, 0.0]}.items()
        for seed, value in enumerate(values)
    ]
    comparison = compared(*runs)
    pair = comparison.pairs[0]
    assert pair.p is not None
    assert pair.p < 0.05 < (pair.p_holm or 0)
    assert "which is no claim once the number of comparisons" in conclusion(pair, comparison)


def test_the_bootstrap_pairs_images_over_the_seeds_in_common(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, "a", FIRST[:2]) + write_runs(tmp_path, "b", SECOND[:3], SGD)
    groups = groups_of(*runs)
    right, wrong = np.ones(200, dtype=bool), np.zeros(200, dtype=bool)
    half = np.arange(200) % 2 == 0
    correct = dict(zip(runs, [right, right, half, half, wrong], strict=True))
    (pair,) = analyse(groups, pairs_of(groups), correct).pairs
    assert pair.bootstrap is not None
    assert (pair.bootstrap.seeds, pair.bootstrap.images) == ([0, 1], 200)
    assert pair.bootstrap.interval == bootstrap_images(1.0 - half)
    assert pair.bootstrap.interval == pytest.approx((0.43, 0.57), abs=0.011)
    assert "n too small" in pair.no_claim
    del correct[runs[0]], correct[runs[3]]
    assert analyse(groups, pairs_of(groups), correct).pairs[0].bootstrap is None


def test_groups_are_named_by_what_differs(tmp_path: Path) -> None:
    def names(*configs: Mapping[str, Any]) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        runs = [
            write_run(
                folder / str(n),
                0,
                0.9,
                config,
                genotype=config.get("genotype", {}).get("name", "hypernetwork"),
            )
            for n, config in enumerate(configs)
        ]
        return [group.name for group in groups_of(*runs)]

    direct = {"genotype": {"name": "direct"}}
    larger = {"genotype": {"hypernetwork": {"embedding_dim": 6, "projection_dim": 5}}}
    slow = {"optimizer": {"adam": {"learning_rate": 0.001}}}
    assert names({}, direct, larger) == ["Hyper4_4", "ConvModel", "Hyper6_5"]
    assert names({}, slow)[1] == "learning_rate=0.001"
    assert names({}, {"training": {"rounds": 3}}, {"training": {"rounds": 3, "batch_size": 7}}) == [
        "batch_size=100, rounds=2",
        "batch_size=100, rounds=3",
        "batch_size=7, rounds=3",
    ]


def test_places_of_files_make_no_group_and_a_seed_counts_once(tmp_path: Path) -> None:
    moved = {"dataset": {"data_dir": "/elsewhere"}, "training": {"device": "cuda"}}
    runs = [write_run(tmp_path / "a", 0, 0.9), write_run(tmp_path / "b", 1, 0.9, moved)]
    runs += [write_run(tmp_path / "c", 1, 0.8), write_run(tmp_path / "d", 0, 0.7, SGD)]
    adam, sgd = groups_of(*runs, runs[0])
    assert [run.directory.name for run in adam.runs] == ["a", "b"]
    assert adam.left_out[0].reason == f"the same settings and seed as {tmp_path / 'b'}"
    assert sgd.by_seed[0].test_score == 0.7


def write_sweep(folder: Path) -> Path:
    rows = {"adam": {}, "other": SGD, "third": {}}
    saved = {name: {**merged(digits_tables(), row), "seeds": [0, 1]} for name, row in rows.items()}
    folder.mkdir()
    (folder / "sweep.toml").write_text(write_toml({"name": "s", "title": "S", "rows": saved}))
    return folder


def test_rows_of_a_sweep_are_groups_and_what_is_not_done_is_listed(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    trials = sweep / "trials"
    write_run(trials / "adam-seed0", 0, 0.9)
    write_run(trials / "adam-seed1", 1, None, status="diverged", validation_score=None)
    write_run(trials / "other-seed0", 0, 0.8, SGD, status="interrupted", test_score=None)
    (trials / "other-seed1").mkdir()
    (trials / "other-seed1" / "failure.json").write_text('{"error": "MemoryError: all of it"}')
    (trials / "third-seed1").mkdir()
    comparison = compared(sweep)
    assert [(group.name, group.seeds) for group in comparison.groups] == [
        ("adam", [0]),
        ("other", []),
        ("third", []),
    ]
    left_out = {
        Path(run["directory"]).name: run["reason"] for group in comparison.groups for run in group.left_out
    }
    assert left_out == {
        "adam-seed1": "diverged",
        "other-seed0": "interrupted",
        "other-seed1": "failed: MemoryError: all of it",
        "third-seed0": "not run",
        "third-seed1": "unfinished",
    }
    assert comparison.pairs == []  # one group alone has a finished run
    text = as_text(comparison)
    assert "None: two groups with a finished run are needed." in text
    with pytest.raises(genophen.ConfigError, match="no finished run of it"):
        pairs_of(groups_of(sweep), "other")
    assert "- other, seed 1: failed: MemoryError: all of it" in text
    assert "runs of adam that count in no statistic: seed 1: diverged" in text
    assert [line.split()[0] for line in text.split("\n\n")[1].splitlines()] == ["Group", "adam"]
    twice = compared(sweep, write_sweep(tmp_path / "again"))
    assert f"adam ({tmp_path / 'again'})" in [group.name for group in twice.groups]


def test_what_is_not_equal_is_said(tmp_path: Path) -> None:
    adam = write_run(tmp_path / "a", 0, 0.9)
    options = {"mnist-cnn": {"num_outputs": 12}}
    other = write_run(
        tmp_path / "b",
        1,
        0.8,
        {**SGD, "architecture": options},
        {"dataset": {"sha256": "cd" * 32}, "machine": {"threads": 8}},
        sample_evaluations=3300,
    )
    comparison = compared(adam, other)
    assert comparison.pairs[0].cautions == ["sample evaluations", "data", "main network", "machine", "seeds"]
    first = comparison.groups[0].name
    assert comparison.warnings[0].startswith(f"not equal: sample evaluations ({first}: 3,000; ")
    assert "3,300); the budgets are not equal" in comparison.warnings[0]
    assert "digits abababababab" in comparison.warnings[1]
    assert "num_outputs=12" in comparison.warnings[2]
    assert "processor, 8 threads); their seconds" in comparison.warnings[3]
    assert len(comparison.warnings) == 5
    overshoot = write_run(tmp_path / "c", 0, 0.8, SGD, sample_evaluations=3100)
    assert compared(adam, overshoot).pairs[0].cautions == []


def test_what_is_odd_within_a_group_is_said(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    write_run(sweep / "trials" / "adam-seed0", 0, 0.9)
    changed = {"training": {"rounds": 9}}
    counts = {"total": 1, "kernel": 1, "searched": 1}
    data = {"dataset": {"sha256": "cd" * 32}}
    write_run(sweep / "trials" / "adam-seed1", 1, 0.9, changed, data, parameters=counts)
    write_run(sweep / "trials" / "third-seed0", 0, 0.9)
    warnings = compared(sweep).warnings
    for said in (
        "the runs of adam differ in more than the seed (training.rounds)",
        "the runs of adam have different numbers of parameters",
        "the runs of adam were trained on different data",
        "adam and third have the same settings",
    ):
        assert said in warnings


def test_curves_hold_the_best_so_far(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a0", 0, 0.9), write_run(tmp_path / "a1", 1, 0.7)]
    longer = [{"round": n, "seconds": 2.0} for n in range(4)]
    (runs[1] / "timings.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in longer))
    evaluations, seconds = read_curves(groups_of(*runs, write_run(tmp_path / "b", 0, 0.5, SGD)))[:2]
    assert (evaluations.group, evaluations.axis) == ("adam", "sample_evaluations")
    assert evaluations.cost.tolist() == [0, 1000, 2000, 3000]
    assert evaluations.mean.tolist() == pytest.approx([0.1, 0.5, 0.5, 0.8])
    assert evaluations.low.tolist() == [0.1, 0.5, 0.5, 0.7]
    assert evaluations.high.tolist() == [0.1, 0.5, 0.5, 0.9]
    # The first run ends after 2 s, where the second one begins; it keeps its best.
    assert seconds.cost.tolist() == [2, 4, 6, 8]
    assert seconds.mean.tolist() == pytest.approx([0.5, 0.7, 0.7, 0.8])


Edit = Callable[[Path], object]


def rewritten(file: str, **changes: Any) -> Edit:
    """An edit by hand: some values of a JSON file changed, those given as None removed."""

    def edit(run: Path) -> None:
        values = json.loads((run / file).read_text()) | changes
        removed = {key for key, value in changes.items() if value is None}
        (run / file).write_text(json.dumps({k: v for k, v in values.items() if k not in removed}))

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (rewritten("result.json", test_score="high"), "result.json|test_score is 'high'"),
        (rewritten("result.json", test_score=97.1), "result.json|between 0 and 1, as a fraction is"),
        (rewritten("result.json", test_score=True), "result.json|test_score is True"),
        (rewritten("result.json", test_score=float("nan")), "result.json|test_score is nan"),
        (rewritten("result.json", sample_evaluations=None), "result.json|sample_evaluations is missing"),
        (rewritten("result.json", parameters={"total": 3}), "result.json|parameters.kernel is missing"),
        (rewritten("result.json", status="won"), "result.json|status is 'won'"),
        (rewritten("result.json", seed=3), "result.json|training.seed 3, where config.toml has 0"),
        (
            rewritten("result.json", optimizer="sgd"),
            "result.json|optimizer 'sgd', where config.toml has 'adam'",
        ),
        (lambda run: (run / "result.json").write_text("[]"), "result.json|no JSON object"),
        (lambda run: (run / "result.json").write_text("{"), "result.json|no JSON object"),
        (lambda run: (run / "result.json").write_bytes(b"\xff"), "result.json|no JSON object"),
        (lambda run: (run / "result.json").write_text("[" * 100_000), "result.json|no JSON object"),
        (rewritten("environment.json", machine=None), "environment.json|machine is missing"),
        (lambda run: (run / "environment.json").unlink(), "environment.json|No such file"),
        (
            lambda run: (run / "metrics.jsonl").write_text('{"round": 0}\n'),
            "metrics.jsonl|line 1: validation_score",
        ),
        (lambda run: (run / "metrics.jsonl").write_text(""), "metrics.jsonl|the rounds []"),
        (lambda run: (run / "timings.jsonl").write_text(""), "timings.jsonl|other rounds"),
        (lambda run: (run / "timings.jsonl").unlink(), "timings.jsonl|No such file"),
    ],
)
def test_a_record_edited_by_hand_is_named_with_its_field(
    edit: Edit, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(write_run(tmp_path / "a", 0, 0.9))
    write_run(tmp_path / "b", 0, 0.8, SGD)
    code = command(tmp_path / "a", tmp_path / "b", "--no-bootstrap", "--out", tmp_path / "out")
    error = capsys.readouterr().err
    assert code == 4, error
    assert all(part in error for part in [str(tmp_path / "a"), *said.split("|"), "allowed:", "next:"]), error


def test_a_completed_run_without_a_score_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(genophen.DamagedError, match="status 'completed' without a score"):
        groups_of(write_run(tmp_path / "a", 0, None))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent"], "no such folder"),
        (["empty"], "neither config.toml nor sweep.toml in it"),
        (["a0", "a1"], "one group alone: Hyper4_4, adam, seeds 0, 1"),
        (["diverged", "b"], "none of them is finished"),
        (["a0", "b", "a1", "c", "--baseline", "abc"], "cannot compare with the baseline 'abc'"),
        ([], "Usage"),
    ],
)
def test_what_cannot_be_compared_is_explained(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    write_runs(tmp_path, "a", FIRST[:2])
    write_run(tmp_path / "diverged", 0, None, status="diverged")
    write_run(tmp_path / "b", 0, None, SGD, status="interrupted")
    write_run(tmp_path / "c", 0, 0.5, SGD)
    assert command(*arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err + captured.out


def test_names_are_safe_in_markdown_and_figures(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    rows = {"_a|b $x_$": {**digits_tables(), "seeds": [0]}, "c\nd": {**digits_tables(), **SGD, "seeds": [0]}}
    (sweep / "sweep.toml").write_text(write_toml({"rows": rows}))
    write_run(sweep / "trials" / "_a-b-x_--seed0", 0, 0.9)
    write_run(sweep / "trials" / "c-d-seed0", 0, 0.9, SGD)
    comparison = compared(sweep)
    assert [group.name for group in comparison.groups] == ["_a|b $x_$", "c d"]
    assert "| _a\\|b $x_$ | 1 |" in as_markdown(comparison)
    write_comparison(tmp_path / "out", comparison, read_curves(groups_of(sweep)))
    drawn = (tmp_path / "out" / "accuracy_by_seconds.svg").read_text()
    assert all(f">{name}<" in drawn for name in (" _a|b $x_$", "c d"))


@pytest.mark.parametrize(("start", "closer"), [(0.1, True), (0.89, False)])
def test_ends_are_drawn_again_where_that_brings_them_closer(
    tmp_path: Path, start: float, closer: bool
) -> None:
    runs = [write_run(tmp_path / "a", 0, 0.9), write_run(tmp_path / "b", 0, 0.895, SGD)]
    for run in runs:
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        rows[0]["validation_score"] = start
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_comparison(tmp_path / "out", compared(*runs), read_curves(groups_of(*runs)))
    assert ("the same, close up" in (tmp_path / "out" / "accuracy_by_seconds.svg").read_text()) == closer


def test_a_comparison_of_true_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = digits_tables(rounds=1)
    runs = []
    for optimizer in ("adam", "sgd"):
        for seed in (0, 1):
            runs.append(tmp_path / f"{optimizer}{seed}")
            changes = [f'optimizer.name="{optimizer}"', f"training.seed={seed}"]
            genophen.run(tables, overrides=changes, out=runs[-1])
    out = tmp_path / "comparison"
    assert command(*runs, "--out", out, "--json") == 0
    captured = capsys.readouterr()
    assert captured.err.count("evaluating") == 4
    found = json.loads(captured.out)
    assert found == json.loads((out / "comparison.json").read_text())
    adam, sgd = found["groups"]
    assert (adam["name"], sgd["name"], adam["searched_parameters"]) == ("adam", "sgd", 12894)
    assert found["warnings"] == []
    (pair,) = found["pairs"]
    assert pair["conclusion"] == "adam and sgd: n too small (seeds in common: 2; needed: 5)."
    assert pair["difference"] == pytest.approx(adam["test_score_mean"] - sgd["test_score_mean"])
    low, high = pair["bootstrap"]["interval"]
    assert low < pair["difference"] < high
    assert (pair["bootstrap"]["images"], pair["bootstrap"]["seeds"]) == (400, [0, 1])

    page = (out / "comparison.md").read_text()
    for name in ("accuracy_by_sample_evaluations", "accuracy_by_seconds", "accuracy_by_parameters"):
        assert f"({name}.png)" in page
        with Image.open(out / f"{name}.png") as image:
            assert image.size == (1500, 750)
        assert ">sgd<" in (out / f"{name}.svg").read_text()
    rows = list(csv.DictReader((out / "curves.csv").read_text().splitlines()))
    last = [row for row in rows if (row["group"], row["axis"]) == ("adam", "sample_evaluations")][-1]
    assert float(last["mean"]) == pytest.approx(adam["validation_score_mean"])
    assert float(last["cost"]) == adam["sample_evaluations_mean"]

    # A second look reads the predictions; damaged ones and those of other weights are made again; weights
    # that are gone are a warning.
    files = {file.name: file.read_bytes() for file in out.iterdir()}
    (kept,) = (runs[0] / "predictions").glob("*.safetensors")
    kept.write_bytes(b"\x00" + kept.read_bytes()[1:])
    shutil.rmtree(runs[1] / "best")
    shutil.rmtree(runs[3] / "predictions")
    shutil.copytree(runs[2] / "predictions", runs[3] / "predictions")
    assert command(*runs, "--out", out) == 0
    captured = capsys.readouterr()
    assert captured.err == "".join(f"evaluating {run} on the test images\n" for run in (runs[0], runs[3]))
    assert f"{runs[1]} takes no part in the bootstrap: its weights, best/, are gone" in captured.out
    unchanged = {"curves.csv", "accuracy_by_seconds.svg", "accuracy_by_parameters.svg"}
    assert all((out / name).read_bytes() == files[name] for name in unchanged)


def test_an_accuracy_that_is_not_found_again_and_other_data_are_warned_of(tmp_path: Path) -> None:
    from genophen.compare.predictions import EvaluationPlace, read_predictions

    runs = []
    for optimizer in ("adam", "sgd"):
        runs.append(tmp_path / optimizer)
        genophen.run(digits_tables(rounds=1), overrides=[f'optimizer.name="{optimizer}"'], out=runs[-1])
    rewritten("result.json", test_score=0.999)(runs[0])
    rewritten("environment.json", dataset={"name": "digits", "sha256": "0" * 64})(runs[1])
    correct, warnings = read_predictions(
        groups_of(*runs), load_plugins(), EvaluationPlace(), lambda note: None
    )
    assert list(correct) == [runs[0]]
    assert f"{runs[0]} has a test accuracy of " in warnings[0]
    assert "where its result.json says 99.90%" in warnings[0]
    assert warnings[1].endswith("the data here is not what it was trained on")
    assert not (runs[1] / "predictions").exists()
    (weights,) = (runs[1] / "best").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(genophen.DamagedError, match="does not have the SHA-256"):
        read_predictions(groups_of(*runs), load_plugins(), EvaluationPlace(), lambda note: None)
    assert as_json(compared(*runs))["pairs"][0]["bootstrap"] is None

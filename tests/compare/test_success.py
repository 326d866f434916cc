"""Evaluations to success: runs that never solve are censored, neither dropped nor counted as solved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_compare import write_run

from genophen.cli import main
from genophen.compare.success import survival

TASK = {"task": "double-pole", "measure": "starts balanced", "percent": False, "negated": False}


def test_survival_by_hand() -> None:
    """Five runs: two solve at 10, one ends without at 20, one solves at 30, one ends without at 40."""
    spent, solved = [30, 10, 40, 10, 20], [True, True, False, True, False]
    # At 10 there are five, of which two solve; at 30 there are two left, of which one does.
    assert survival(spent, solved) == [(10, pytest.approx(3 / 5)), (30, pytest.approx(3 / 5 * 1 / 2))]
    assert survival([5, 5], [False, False]) == []
    assert survival([5, 5], [True, True]) == [(5, 0.0)]


def sweep(tmp_path: Path, outcomes: dict[str, list[tuple[int, bool]]]) -> list[str]:
    folders = []
    for name, runs in outcomes.items():
        for seed, (episodes, done) in enumerate(runs):
            folder = write_run(
                tmp_path / f"{name}{seed}",
                seed,
                250.0 if done else 3.0,
                {"optimizer": {"name": name}, "task": {"name": "double-pole"}, "dataset": {}},
                {"task": {"name": "double-pole", **{k: v for k, v in TASK.items() if k != "task"}}},
                **TASK,
                stop_reason="solved" if done else None,
                episodes=episodes,
                test_episodes=626,
            )
            folders.append(str(folder))
    return folders


def test_compare_says_evaluations_to_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = sweep(
        tmp_path,
        {
            "snes": [(100, True), (200, True), (600, True)],
            "pgpe": [(300, True), (5000, False), (5000, False)],
        },
    )
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["compare", *folders, "--no-bootstrap", "--out", str(tmp_path / "out")])
    text = capsys.readouterr().out
    assert "EVALUATIONS TO SUCCESS" in text
    rows = [line.split() for line in text.splitlines() if " of 3 " in line]
    assert [row[row.index("of") - 1 :] for row in rows] == [
        ["3", "of", "3", "300", "265", "200", "600", "926"],
        ["1", "of", "3", "3,433", "2,714", "5,000", "4,059"],
    ]
    groups = json.loads((tmp_path / "out" / "comparison.json").read_text())["groups"]
    first, second = (group["success"] for group in groups)
    assert (first["solved"], first["evaluations_mean"], first["evaluations_median"]) == (3, 300, 200)
    assert (second["solved"], second["runs"], second["evaluations_median"]) == (1, 3, None)
    assert second["evaluations_mean"] == pytest.approx((300 + 5000 + 5000) / 3)
    assert second["with_tests_mean"] == pytest.approx((300 + 5000 + 5000) / 3 + 626)
    assert second["censored"] == [5000, 5000]
    assert (tmp_path / "out" / "unsolved_by_evaluations.png").is_file()
    assert "unsolved_by_evaluations.png" in (tmp_path / "out" / "comparison.md").read_text()


def test_of_other_tasks_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [
        str(write_run(tmp_path / f"{name}{seed}", seed, 0.9, {"optimizer": {"name": name}}))
        for name in ("adam", "sgd")
        for seed in range(2)
    ]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["compare", *folders, "--no-bootstrap", "--json"])
    assert [group["success"] for group in json.loads(capsys.readouterr().out)["groups"]] == [None, None]

"""A task of one's own, the one of docs/write-a-plugin.md, through everything that is done with runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import ask

import genophen
from genophen.config.toml import write_toml
from genophen.plugins.skeleton import skeleton

#: Kills its own process within the third round, as the system may.
AXE = """
import os
import signal

import genophen


class Axe(genophen.Reporter):
    name = "axe"
    description = "kills"
    steps = 0

    def start(self, info): ...
    def round(self, row, seconds): ...
    def end(self, result): ...
    def step(self):
        self.steps += 1
        if self.steps == 40:
            os.kill(os.getpid(), signal.SIGKILL)


@genophen.hookimpl
def register_reporters(register):
    register(Axe)
"""


@pytest.fixture
def largest(tmp_path: Path) -> Path:
    """The file of the task, regression on tensors with R^2 as its score."""
    file = tmp_path / "genophen_largest.py"
    file.write_text(skeleton("largest", "task").texts[file.name])
    assert len(file.read_text().splitlines()) <= 40
    return file


def tables(optimizer: str = "adam", **training: Any) -> dict[str, Any]:
    return {
        "task": {"name": "largest"},
        "architecture": {"name": "mlp"},
        "genotype": {"name": "direct"},
        "optimizer": {"name": optimizer},
        "training": {"rounds": 4, "checkpoint_rounds": 1, **training},
    }


def r_squared(run: genophen.Run) -> float:
    """The score on the test split, from the weights alone."""
    draws = torch.Generator().manual_seed(0)
    x = [torch.rand(500, 4, generator=draws) for _ in range(3)][2]
    with torch.no_grad():
        y, answers = x.amax(1, keepdim=True), run.phenotype()(x)
    return 1 - float((answers - y).square().sum() / (y - y.mean()).square().sum())


@pytest.mark.parametrize("optimizer", ["adam", "cma-es"])
def test_a_run_has_the_tasks_score_in_its_own_range(optimizer: str, largest: Path) -> None:
    run = genophen.run(tables(optimizer), out="run", plugin_files=[largest])
    assert (run["measure"], run["percent"], run["negated"]) == ("R^2", False, False)
    assert run["test_score"] == run["test_r_2"] == pytest.approx(r_squared(run), abs=1e-5)
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert rows[0]["validation_score"] < 0  # worse than the mean: no fraction
    assert run["validation_score"] == max(row["validation_score"] for row in rows)
    assert run.evaluate().value == run["test_score"]
    answer = ask("evaluate", "run", "--plugin", largest)
    assert f"test R^2  {run['test_score']:.4g}\n" in answer.out
    assert "accuracy" not in Path("run/result.json").read_text() + Path("run/metrics.jsonl").read_text()


def test_a_killed_run_goes_on_to_the_bit(largest: Path, tmp_path: Path) -> None:
    (tmp_path / "axe.py").write_text(AXE)
    Path("config.toml").write_text(write_toml(tables()))
    command = [sys.executable, "-m", "genophen", "run", "config.toml", "--plugin", str(largest)]
    axed = ["--out", "killed", "--plugin", "axe.py", "--reporter", "axe"]
    killed = subprocess.run([*command, *axed], check=False)
    assert killed.returncode == -9
    assert len(Path("killed/metrics.jsonl").read_text().splitlines()) == 3  # the start, and two rounds
    assert ask("resume", "killed", "--plugin", largest).code == 0
    genophen.run("config.toml", out="whole", plugin_files=[largest])
    assert Path("killed/metrics.jsonl").read_bytes() == Path("whole/metrics.jsonl").read_bytes()


def test_sweeps_comparisons_and_reports_speak_of_the_tasks_measure(largest: Path) -> None:
    rows = {name: {"optimizer": {"name": name}} for name in ("adam", "cma-es")}
    Path("base.toml").write_text(write_toml(tables(rounds=2)))
    Path("sweep.toml").write_text(write_toml({"base": "base.toml", "seeds": [0, 1], "rows": rows}))
    swept = ask("sweep", "sweep.toml", "--out", "swept", "--plugin", largest)
    assert swept.code == 0, swept
    assert "Test R^2" in swept.out
    compared = ask("compare", "swept", "--out", "compared", "--plugin", largest, "--json")
    assert compared.code == 0, compared
    means = {group["name"]: group["test_score_mean"] for group in json.loads(compared.out)["groups"]}
    for name, mean in means.items():
        trials = [json.loads(file.read_text()) for file in Path("swept/trials").glob(f"{name}*/result.json")]
        assert mean == pytest.approx(sum(trial["test_r_2"] for trial in trials) / 2)
    assert Path("compared/r_2_by_parameters.png").is_file()
    assert ask("report", "swept", "--out", "report.html", "--plugin", largest).code == 0
    written = Path("report.html").read_text() + Path("compared/comparison.md").read_text()
    assert f"{means['adam']:.4g}" in written
    assert "ccuracy" not in written + swept.out


def test_a_gradient_optimizer_on_a_task_without_gradients_is_refused_before_any_work(largest: Path) -> None:
    text = largest.read_text().replace("    measure =", "    differentiable = False\n    measure =")
    largest.write_text(text.replace("def setup(self, context):", "def setup(self, context):\n        1 / 0"))
    with pytest.raises(genophen.ConfigError) as caught:
        genophen.run(tables("adam"), out="run", plugin_files=[largest])
    assert "'adam' takes gradients, which the task largest does not have" in str(caught.value)
    assert "cma-es" in str(caught.value)
    assert not Path("run").exists()


def test_what_labelled_images_are_needed_for_names_optimizer_and_task(largest: Path) -> None:
    config = tables("cma-es")
    config["optimizer"]["cma-es"] = {"readout": "ridge"}
    with pytest.raises(genophen.ConfigError, match="cannot use the optimizer cma-es for the task largest"):
        genophen.run(config, out="run", plugin_files=[largest])


def test_an_architecture_with_other_shapes_is_refused(largest: Path) -> None:
    config = tables() | {"architecture": {"name": "mnist-cnn"}}
    with pytest.raises(genophen.ConfigError, match=r"inputs of shape \(1, 28, 28\) and gives 10 outputs"):
        genophen.run(config, out="run", plugin_files=[largest])


def test_a_plugin_that_still_says_num_classes_is_told_the_new_name(tmp_path: Path) -> None:
    text = next(t for name, t in skeleton("tiny", "architecture").texts.items() if name == "genophen_tiny.py")
    (tmp_path / "tiny.py").write_text(text.replace("num_outputs", "num_classes"))
    answer = ask("plugins", "check", "tiny", "--plugin", tmp_path / "tiny.py")
    assert answer.code == 5
    assert "sets num_classes, which is called num_outputs now: rename it" in answer.err

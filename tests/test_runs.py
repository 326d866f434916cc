"""A run as an object: what it reads, what it shows, and what of its files it does not trust."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import digits_tables

import genophen

SHORT = "training.max_sample_evaluations=2000"


def train(out: Path, *overrides: str) -> genophen.Run:
    return genophen.run(digits_tables(), overrides=[SHORT, *overrides], out=out)


def test_a_run_reads_its_files(tmp_path: Path) -> None:
    made = train(tmp_path / "run")
    run = genophen.Run.load(tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert run.result == dict(run) == dict(made) == result
    assert run["test_accuracy"] == result["test_accuracy"]
    assert (run.directory, run.status) == (tmp_path / "run", "completed")
    assert run.config["genotype"]["hypernetwork"]["embedding_dim"] == 4
    assert [row["round"] for row in run.metrics] == [0, 1]
    assert run.metrics[1]["validation_accuracy"] == result["validation_accuracy"]
    assert run.timings[1]["seconds"] > 0
    assert run.environment["packages"]["torch"] == torch.__version__


def test_a_runs_network_is_the_best_rounds(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    assert run.evaluate().accuracy == run["test_accuracy"]
    assert run.evaluate("validation").accuracy == run["validation_accuracy"]
    phenotype = run.phenotype()
    assert not phenotype.training
    best = (run.directory / "best").glob("*.safetensors")
    from safetensors.torch import load_file

    saved = load_file(next(best))
    assert all(torch.equal(tensor, saved[name]) for name, tensor in phenotype.state_dict().items())
    with pytest.raises(genophen.ConfigError, match="did you mean validation"):
        run.evaluate("validations")


def test_a_run_can_be_exported_and_drawn(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    assert run.export("safetensors") == tmp_path / "run" / "network.safetensors"
    assert run.export("torch", tmp_path / "x.pt", data_dir=tmp_path).is_file()
    panel, _ = run.kernels().axes
    assert panel.get_title() == "hypernetwork\n4,244 kernel parameters"


def test_resume_returns_the_run(tmp_path: Path) -> None:
    train(tmp_path / "run")
    tables = genophen.run(digits_tables(rounds=1), out=tmp_path / "short")
    assert tables["rounds"] == 1
    longer = genophen.resume(tmp_path / "short", rounds=2)
    assert (longer["rounds"], len(longer.metrics)) == (2, 3)


def test_a_run_says_what_it_is(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    accuracy = f"test accuracy {run['test_accuracy']:.2%}"
    said = repr(run)
    assert said.startswith(f"Run('{tmp_path}/run': completed; architecture mnist-cnn, genotype hypernetwork")
    assert accuracy in said
    table = run._repr_html_()
    assert f"<td style='text-align: left'>{run['test_accuracy']:.2%}</td>" in table
    assert table.count("<tr>") == table.count("</tr>") == 11


def test_names_are_escaped_in_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "<script>alert(1)<"
    train(folder)
    table = genophen.Run.load(folder)._repr_html_()
    assert "<script" not in table
    assert "&lt;script&gt;alert(1)&lt;" in table
    (folder / "config.toml").write_text('[architecture]\nname = "<b>\\u001b[31m"\n')
    table = genophen.Run.load(folder)._repr_html_()
    assert "&lt;b&gt;\\u001b[31m" in table


def test_a_run_without_a_result_is_unfinished(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    assert run.status == "unfinished"
    assert repr(run).startswith(f"Run('{tmp_path}/run': unfinished; architecture mnist-cnn")
    assert "unfinished" in run._repr_html_()
    assert len(run.metrics) == 2
    with pytest.raises(genophen.ConfigError, match="the run is unfinished") as caught:
        run["test_accuracy"]
    assert caught.value.next_step == f"go on with it: genophen resume {tmp_path}/run"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("result.json", '{"status": 3}', "test_score is missing"),
        ("metrics.jsonl", '{"round": 0}\n[]\n', "line 2: no JSON object, but []"),
        ("metrics.jsonl", '{"round": "0"}\n', "line 1: round is '0'"),
        ("timings.jsonl", "[" * 100_000, "it is nested too deep"),
        ("environment.json", "{}", "packages"),
    ],
)
def test_records_that_are_damaged_are_named(name: str, content: str, said: str, tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(genophen.DamagedError) as caught:
        getattr(run, name.partition(".")[0])
    assert caught.value.attempted == f"cannot read {tmp_path / 'run' / name}"
    assert said in caught.value.found
    (tmp_path / "run" / "result.json").write_text("{")
    assert "cannot read" in repr(run)
    assert "cannot read" in run._repr_html_()


def test_other_data_is_warned_of(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    environment = run.environment
    environment["dataset"]["sha256"] = "0" * 64
    (tmp_path / "run" / "environment.json").write_text(json.dumps(environment))
    with pytest.warns(UserWarning, match="its SHA-256 differs"):
        run.evaluate()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(genophen.ConfigError, match="there is no such folder"):
        genophen.Run.load(tmp_path / "absent")

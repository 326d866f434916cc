"""Runs on the digits: reproducible to the bit, best weights kept, every way to stop."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import digits_tables
from torch import nn

import genophen
from genophen.config.config import Config, resolve_config
from genophen.config.toml import read_toml
from genophen.plugins.loading import load_plugins
from genophen.plugins.registry import KINDS, Plugin, Plugins, Source
from genophen.storage.rundir import RunDirectory
from genophen.training.experiment import Experiment, assemble
from genophen.training.seeds import derive_seed
from genophen.training.start import run_config


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def with_class(kind: str, cls: type) -> Plugins:
    """The shipped plugins and one more class."""
    plugins = load_plugins()
    assert kind in KINDS
    plugins.registered[kind][cls.name] = Plugin(kind, cls.name, cls, Source("test", "test", "1"))
    return plugins


def config_of(plugins: Plugins, tables: dict[str, Any]) -> Config:
    return resolve_config(tables, plugins, "of the test")


def test_a_run_leaves_what_the_design_says(tmp_path: Path) -> None:
    result = genophen.run(digits_tables(), out=tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.toml",
        "environment.json",
        "metrics.jsonl",
        "timings.jsonl",
        "result.json",
        "best",
        "checkpoints",
        ".lock",
    }
    saved = json.loads((tmp_path / "run" / "result.json").read_text())
    assert saved == {key: value for key, value in result.items() if key != "directory"}
    assert saved["status"] == "completed"
    assert saved["parameters"] == {
        "total": 12_894,
        "kernel": 4_244,
        "embedding": 4,
        "generator": 4_240,
        "direct": 8_650,
        "searched": 12_894,
    }
    # 1,197 images in batches of 100, twice; the last batch of 97 counts as 97.
    assert saved["backward_samples"] == 2 * 1197
    assert saved["sample_evaluations"] == 3 * 2 * 1197
    assert [row["round"] for row in rows(tmp_path / "run")] == [0, 1, 2]
    assert list(rows(tmp_path / "run")[1]) == [
        "round",
        "train_loss",
        "validation_loss",
        "validation_score",
        "validation_accuracy",
        "learning_rate",
        "sample_evaluations",
    ]
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert {plugin["name"] for plugin in environment["plugins"]} == {
        "classification",
        "mnist-cnn",
        "hypernetwork",
        "adam",
        "digits",
    }


def test_equal_config_and_seed_give_equal_bits_and_the_saved_config_repeats_the_run(tmp_path: Path) -> None:
    tables = digits_tables()
    tables["augmentation"]["flip"] = True
    first = genophen.run(tables, out=tmp_path / "first")
    torch.rand(7)  # what the caller draws in between does not matter
    genophen.run(tables, out=tmp_path / "second")
    genophen.run(tmp_path / "first" / "config.toml", out=tmp_path / "third")
    expected = (tmp_path / "first" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "second" / "metrics.jsonl").read_bytes() == expected
    assert (tmp_path / "third" / "metrics.jsonl").read_bytes() == expected
    best = [RunDirectory(tmp_path / name).load_best()[0] for name in ("first", "third")]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])
    other = genophen.run({**tables, "training": {**tables["training"], "seed": 1}}, out=tmp_path / "other")
    assert (tmp_path / "other" / "metrics.jsonl").read_bytes() != expected
    assert other["seed"] == 1
    assert first["test_accuracy"] > 0.5


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("genotype", ["hypernetwork", "direct"])
def test_every_optimizer_trains_every_genotype(optimizer: str, genotype: str, tmp_path: Path) -> None:
    overrides = [f'optimizer.name="{optimizer}"', f'genotype.name="{genotype}"', "training.rounds=4"]
    result = genophen.run(digits_tables(), overrides=overrides, out=tmp_path / "run")
    assert result["test_accuracy"] > 0.8


def test_a_streamed_data_set_gives_the_same_bits_as_one_in_memory(tmp_path: Path) -> None:
    genophen.run(digits_tables(), overrides=['dataset.storage="memory"'], out=tmp_path / "memory")
    genophen.run(digits_tables(), overrides=['dataset.storage="stream"'], out=tmp_path / "stream")
    expected = (tmp_path / "memory" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "stream" / "metrics.jsonl").read_bytes() == expected


def test_bfloat16_training_is_measured_in_float32(tmp_path: Path) -> None:
    overrides = ['training.precision="bfloat16"', "training.rounds=4"]
    result = genophen.run(digits_tables(), overrides=overrides, out=tmp_path / "run")
    assert result["test_accuracy"] > 0.8
    tensors, _ = RunDirectory(tmp_path / "run").load_best()
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


class Flattening(genophen.Architecture):
    """Flattens with view(), which takes contiguous activations alone."""

    name = "flattening"
    description = "a module with view()"
    input_shape = (1, 12, 12)
    num_outputs = 10

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 3)
            self.dense = nn.Linear(800, 10)

        def forward(self, images):
            return self.dense(self.conv(images).relu().view(len(images), -1))

    def build(self):
        return self.Net()

    def expressed(self):
        return ["conv.weight"]


def test_a_network_that_needs_contiguous_memory_gets_it(tmp_path: Path) -> None:
    plugins = with_class("architecture", Flattening)
    tables = digits_tables()
    tables["architecture"] = {"name": "flattening"}
    _, result = run_config(config_of(plugins, tables), plugins, "x", tmp_path / "run")
    assert result["status"] == "completed"
    tables["training"]["memory_format"] = "channels-last"
    with pytest.raises(genophen.PluginError, match="view"):
        run_config(config_of(plugins, tables), plugins, "x", tmp_path / "other")
    assert not (tmp_path / "other").exists()  # a run that never began leaves no folder


def test_the_best_round_is_kept_and_the_run_stops_early(tmp_path: Path) -> None:
    class Plan(genophen.Optimizer):
        """Turns the readout around in every round but the second."""

        name = "plan"
        description = "good once"

        def setup(self, context):
            self.weight = context.phenotype.network.dense.weight
            self.trained = torch.load(weights, weights_only=True)
            self.round, self.steps_per_round = 0, 1

        def step(self):
            self.round += 1
            with torch.no_grad():
                self.weight.copy_(self.trained if self.round == 2 else -self.trained)
            return genophen.Metrics(train_loss=1.0, extras={"planned": float(self.round)})

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    plugins = with_class("optimizer", Plan)
    tables = digits_tables(rounds=50, patience=3)
    # A readout that is good for the features of this seed: solved in closed form on the training images.
    experiment = assemble(config_of(plugins, tables | {"optimizer": {"name": "adam"}}), plugins, print)
    features = nn.Sequential(*list(experiment.phenotype.materialize())[:-1])
    images = experiment.task.normalization(experiment.task.split("train").images)
    targets = nn.functional.one_hot(experiment.task.split("train").labels, 10).float()
    weights = tmp_path / "weights"
    torch.save(torch.linalg.lstsq(features(images).detach(), targets).solution.T.contiguous(), weights)

    tables["optimizer"] = {"name": "plan"}
    directory, result = run_config(config_of(plugins, tables), plugins, "x", tmp_path / "run")
    accuracies = [row["validation_accuracy"] for row in rows(directory.path)]
    assert accuracies[2] > 0.6 > max(accuracies[:2])
    assert (result["best_round"], result["rounds"]) == (2, 5)
    assert result["status"] == "stopped-early"
    assert result["validation_accuracy"] == accuracies[2]
    assert result["test_accuracy"] > 0.6
    assert rows(directory.path)[1]["planned"] == 1.0


def test_a_schedule_over_all_rounds_is_not_cut_short(tmp_path: Path) -> None:
    tables = digits_tables(rounds=3, patience=1)
    tables["optimizer"]["adam"] = {"learning_rate": 1e-9, "schedule": "cosine"}
    assert genophen.run(tables, out=tmp_path / "cosine")["status"] == "completed"
    tables["optimizer"]["adam"]["schedule"] = "constant"
    tables["optimizer"]["adam"]["learning_rate"] = 1e-30
    stopped = genophen.run(tables, out=tmp_path / "constant")
    assert (stopped["status"], stopped["rounds"]) == ("stopped-early", 1)


def test_the_weights_of_the_last_round_are_kept_on_request(tmp_path: Path) -> None:
    tables = digits_tables(rounds=3, patience=1, keep="last")
    tables["optimizer"]["adam"] = {"learning_rate": 1e-30, "schedule": "constant"}  # no round is any better
    run = genophen.run(tables, out=tmp_path / "last")
    assert (run["rounds"], run["best_round"]) == (3, 3)
    tables["training"] |= {"keep": "best", "patience": 0}
    assert genophen.run(tables, out=tmp_path / "best")["best_round"] == 0


def test_a_run_that_leaves_the_finite_numbers_is_diverged(tmp_path: Path) -> None:
    tables = digits_tables(rounds=5)
    tables["optimizer"] = {"name": "sgd", "sgd": {"learning_rate": 1e38, "schedule": "constant"}}
    result = genophen.run(tables, out=tmp_path / "run")
    assert result["status"] == "diverged"
    assert result["test_accuracy"] is None
    tensors, values = RunDirectory(tmp_path / "run").load_best()
    assert values["round"] == result["best_round"]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def test_budgets_end_a_run(tmp_path: Path) -> None:
    result = genophen.run(digits_tables(rounds=50, max_sample_evaluations=5000), out=tmp_path / "samples")
    assert result["stop_reason"] == "max_sample_evaluations"
    assert 5000 <= result["sample_evaluations"] < 5000 + 3 * 100
    assert result["test_accuracy"] is not None
    result = genophen.run(digits_tables(rounds=1000, max_seconds=0.5), out=tmp_path / "seconds")
    assert result["stop_reason"] == "max_seconds"
    assert result["wall_seconds"] < 20


def test_an_interrupt_ends_the_run_after_the_step(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    metrics = tmp_path / "run" / "metrics.jsonl"

    def interrupt() -> None:
        while not metrics.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        genophen.run(digits_tables(rounds=10_000, patience=0), out=tmp_path / "run")
    result = genophen.Run.load(tmp_path / "run")
    assert (result["status"], result["signal"]) == ("interrupted", 2)
    assert signal.getsignal(signal.SIGINT) is before
    RunDirectory(tmp_path / "run").load_best()


def test_a_run_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("x")
    with pytest.raises(genophen.ConfigError, match="it is not empty"):
        genophen.run(digits_tables(), out=tmp_path / "run")
    assert (tmp_path / "run" / "mine").read_text() == "x"


def test_data_and_architecture_that_do_not_fit_are_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(genophen.ConfigError, match="10 classes, an architecture with 4 outputs") as caught:
        genophen.run(digits_tables(), overrides=["architecture.mnist-cnn.num_outputs=4"], out=tmp_path / "r")
    assert "architecture.mnist-cnn.num_outputs=10" in caught.value.next_step


def test_what_the_user_may_want_to_know_is_told() -> None:
    plugins, notes = load_plugins(), []
    tables = digits_tables()
    tables["dataset"]["validation_size"] = 100
    tables["architecture"]["mnist-cnn"] = {"num_outputs": 12}
    assemble(config_of(plugins, tables), plugins, notes.append)
    assert notes == [
        "dataset.validation_size is not used: digits has 200 validation images of its own",
        "digits has 10 classes: 2 outputs stay unused",
        "images are resized from 8x8 to 28x28",
    ]


class Broken(Flattening):
    name = "broken"

    def build(self):
        raise ZeroDivisionError("by the author")


def test_an_exception_in_build_names_the_plugin() -> None:
    plugins = with_class("architecture", Broken)
    tables = {**digits_tables(), "architecture": {"name": "broken"}}
    with pytest.raises(genophen.PluginError, match="ZeroDivisionError: by the author") as caught:
        assemble(config_of(plugins, tables), plugins, print)
    assert caught.value.exit_code == 5


def test_the_demo_learns_the_digits(tmp_path: Path) -> None:
    from conftest import ROOT

    result = genophen.run(read_toml(ROOT / "examples" / "digits.toml"), out=tmp_path / "run")
    assert result["test_accuracy"] >= 0.95


def test_seeds_of_different_purposes_are_unrelated() -> None:
    seeds = {derive_seed(seed, purpose) for seed in range(50) for purpose in ("network", "genotype")}
    assert len(seeds) == 100
    assert derive_seed(0, "network") == derive_seed(0, "network")


class Careless(Flattening):
    """Draws from every global generator while it is built."""

    name = "careless"

    def build(self):
        network = self.Net()
        with torch.no_grad():
            network.dense.bias.fill_(float(np.random.rand()) + random.random())
        return network


class CarelessGenotype(genophen.Genotype):
    name = "careless"
    description = "ordinary modules inside"

    def __init__(self, options, targets, generator):
        super().__init__(options, targets, generator)
        (self.target,) = (target for target in targets.values() if not target.is_bias)
        self.layer = nn.Linear(3, self.target.initial.numel())

    def express(self):
        return {self.target.name: self.layer(torch.ones(3)).view(self.target.shape)}

    def genes(self, scope):
        return ["layer.weight", "layer.bias"]


class CarelessData(genophen.Dataset):
    name = "careless"
    description = "shuffles with the global generator"

    def load(self, data_dir):
        images = torch.randint(0, 256, (300, 1, 12, 12), dtype=torch.uint8)
        split = genophen.Split(images, torch.arange(300) % 10)
        return genophen.Data(split, split, tuple("abcdefghij"))


def test_what_third_party_code_draws_from_global_generators_is_seeded(tmp_path: Path) -> None:
    plugins = with_class("architecture", Careless)
    for kind, cls in (("genotype", CarelessGenotype), ("dataset", CarelessData)):
        plugins.registered[kind]["careless"] = Plugin(kind, "careless", cls, Source("test", "test", "1"))
    tables = digits_tables(rounds=1)
    for kind in ("architecture", "genotype", "dataset"):
        tables[kind] = {"name": "careless"}
    for name in ("first", "second"):
        run_config(config_of(plugins, tables), plugins, "x", tmp_path / name)
    first, second = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("first", "second"))
    assert first == second


def faulty(**methods: Any) -> type[genophen.Optimizer]:
    """An optimizer that does nothing but what is given."""

    def setup(self, context):
        self.steps_per_round = 1

    def step(self):
        return genophen.Metrics(train_loss=1.0)

    plain = {
        "name": "faulty",
        "description": "at fault",
        "setup": setup,
        "step": step,
        "state_dict": lambda self: {},
        "load_state_dict": lambda self, state: None,
    }
    return type("Faulty", (genophen.Optimizer,), plain | methods)


def raising(self, *arguments):
    raise KeyError("mine")


def half_a_step(self, context):
    self.steps_per_round = 2.5


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({"setup": raising}, "raised KeyError: 'mine'"),
        ({"step": raising}, "raised KeyError: 'mine'"),
        ({"step": lambda self: None}, "step() returned NoneType, not genophen.Metrics"),
        ({"setup": half_a_step}, "steps_per_round is 2.5"),
    ],
)
def test_a_fault_of_an_optimizer_is_put_down_to_its_plugin(
    methods: dict[str, Any], said: str, tmp_path: Path
) -> None:
    plugins = with_class("optimizer", faulty(**methods))
    tables = digits_tables() | {"optimizer": {"name": "faulty"}}
    with pytest.raises(genophen.PluginError) as caught:
        run_config(config_of(plugins, tables), plugins, "x", tmp_path / "run")
    assert said in str(caught.value)
    if "setup" in methods:
        assert not (tmp_path / "run").exists()


def test_a_fault_of_a_dataset_or_genotype_is_put_down_to_its_plugin(tmp_path: Path) -> None:
    class Data(genophen.Dataset):
        name = "faulty"
        description = "at fault"
        load = raising

    class Genotype(CarelessGenotype):
        name = "faulty"
        express = raising

    for kind, cls in (("dataset", Data), ("genotype", Genotype)):
        plugins = with_class(kind, cls)
        tables = digits_tables() | {kind: {"name": "faulty"}}
        with pytest.raises(genophen.PluginError, match=r"plugin test \(test 1\) raised KeyError"):
            run_config(config_of(plugins, tables), plugins, "x", tmp_path / "run")


def test_extras_may_be_tensors_and_cannot_hide_a_column(tmp_path: Path) -> None:
    extras = {"fitness": torch.tensor(2.5), "bad": float("nan"), "round": 99.0}

    def step(self):
        return genophen.Metrics(train_loss=torch.tensor(1.0), learning_rate=float("nan"), extras=extras)

    plugins = with_class("optimizer", faulty(step=step))
    tables = digits_tables(rounds=1) | {"optimizer": {"name": "faulty"}}
    directory, _ = run_config(config_of(plugins, tables), plugins, "x", tmp_path / "run")
    row = rows(directory.path)[1]
    assert (row["round"], row["fitness"], row["bad"], row["learning_rate"]) == (1, 2.5, None, None)


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run", "x", "") as first:
        with (
            pytest.raises(genophen.ConfigError, match="it is not empty"),
            RunDirectory.create(tmp_path / "run", "x", ""),
        ):
            pass
        first.discard()
    assert not (tmp_path / "run").exists()


def test_a_folder_of_the_users_is_left_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    for out in (Path("."), tmp_path / "mine"):
        with pytest.raises(genophen.ConfigError, match="4 outputs"):
            genophen.run(digits_tables(), overrides=["architecture.mnist-cnn.num_outputs=4"], out=out)
        assert list((tmp_path / "mine").iterdir()) == []


def test_a_signal_during_the_last_measurement_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = Experiment.evaluate

    def interrupted(self, split):
        if split == "test":
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self, split)

    monkeypatch.setattr(Experiment, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        genophen.run(digits_tables(rounds=1), out=tmp_path / "run")
    assert genophen.Run.load(tmp_path / "run")["status"] == "completed"


class ExtraState(Flattening):
    name = "extra-state"

    class Net(Flattening.Net):
        def get_extra_state(self):
            return {"anything": 1}

        def set_extra_state(self, state):
            pass


def test_state_that_no_checkpoint_can_hold_is_refused_before_training(tmp_path: Path) -> None:
    plugins = with_class("architecture", ExtraState)
    tables = digits_tables() | {"architecture": {"name": "extra-state"}}
    with pytest.raises(genophen.PluginError, match="_extra_state is a dict"):
        run_config(config_of(plugins, tables), plugins, "x", tmp_path / "run")

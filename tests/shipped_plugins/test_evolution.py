"""Evolution: the search algorithms, fitness, accounting, and runs on the digits."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from genophen_plugins.optimizers.evolution.fitness import make_fitness, make_population
from genophen_plugins.optimizers.evolution.options import EvolutionOptions
from genophen_plugins.optimizers.evolution.readout import RidgeRegression, cross_validate, sharpness
from genophen_plugins.optimizers.evolution.svm import fit_svm
from genophen_plugins.optimizers.evolution.workers import Workers
from helpers import digits_tables, plugin_class
from torch import Tensor, nn

import genophen
from genophen.config.config import resolve_config
from genophen.plugins.loading import load_plugins
from genophen.testing import OptimizerTrial, check_optimizer
from genophen.training.start import run_config

RIDGE = {"readout": "ridge", "ridge_images": 60, "ridge_folds": 3}


def evolve(
    tmp_path: Path, name: str = "cma-es", rounds: int = 3, **options: Any
) -> tuple[Path, dict[str, Any]]:
    """A run on the digits."""
    tables = digits_tables(rounds=rounds)
    tables["optimizer"] = {"name": name, name: {"generations_per_round": 4, "population_size": 8, **options}}
    plugins = load_plugins()
    out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
    run, result = run_config(resolve_config(tables, plugins, "test"), plugins, "test", out)
    return run.path, result


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["cma-es", "snes", "pgpe"])
@pytest.mark.parametrize(
    "options",
    [{}, RIDGE, {"fitness": "accuracy", "genes": "all", "population_size": 6}, {"center_init": "zeros"}],
)
def test_the_contract_and_a_continuation_to_the_bit(name: str, options: dict[str, Any]) -> None:
    cls = plugin_class("optimizer", name)
    check_optimizer(cls, cls.Options(**options))


def test_a_diagonal_covariance_continues_to_the_bit() -> None:
    cls = plugin_class("optimizer", "cma-es")
    check_optimizer(cls, cls.Options(separable=True))


@pytest.mark.parametrize("name", ["cma-es", "snes", "pgpe"])
def test_the_centre_moves_to_where_fitness_is_highest(name: str) -> None:
    cls = plugin_class("optimizer", name)
    searcher = cls(cls.Options(population_size=16, stdev_init=0.3)).make_searcher(5, seed=0)
    best = torch.tensor([1.0, -1.0, 0.5, 0.0, 2.0], dtype=torch.float64)
    for _ in range(300):
        searcher.tell(-(searcher.ask() - best).square().sum(1))
    torch.testing.assert_close(searcher.center(), best, rtol=0, atol=0.1)


def test_every_candidate_on_every_image_counts_and_nothing_goes_backward(tmp_path: Path) -> None:
    run, result = evolve(tmp_path, separable=True)
    images = 11 * 100 + 97  # of twelve batches, one pass
    assert result["sample_evaluations"] == 8 * images  # by as many candidates
    assert result["backward_samples"] == 0
    assert result["parameters"]["searched"] == result["parameters"]["kernel"] == 4244
    assert [row["sample_evaluations"] for row in rows_of(run)] == [0, 3200, 6400, 9576]


def test_solving_and_judging_readouts_counts(tmp_path: Path) -> None:
    _, result = evolve(tmp_path, rounds=2, genes="embeddings", readout="ridge", ridge_images=90)
    generations = 2 * 4 * 8 * 90
    assert result["sample_evaluations"] == generations + 3 * 1197  # rounds 0, 1, 2 solve on all images
    assert result["parameters"]["searched"] == 4


def test_a_round_whose_end_uses_the_budget_up_is_the_last(tmp_path: Path) -> None:
    tables = digits_tables(rounds=50, max_sample_evaluations=4 * 8 * 60 + 2 * 1197)  # rounds 0 and 1
    tables["optimizer"] = {"name": "cma-es", "cma-es": {**RIDGE}}
    tables["optimizer"]["cma-es"] |= {"generations_per_round": 4, "population_size": 8, "genes": "embeddings"}
    run = genophen.run(tables, out=tmp_path / "run")
    assert (run["stop_reason"], run["rounds"]) == ("max_sample_evaluations", 1)
    assert run["sample_evaluations"] == 4 * 8 * 60 + 2 * 1197


@pytest.mark.parametrize("measure", ["cross-entropy", "squared-error", "accuracy"])
@pytest.mark.parametrize("readout", ["direct", "ridge"])
def test_fitness_is_what_it_is_called(readout: str, measure: str) -> None:
    options = EvolutionOptions(**{**RIDGE, "readout": readout, "fitness": measure})
    trial = OptimizerTrial(plugin_class("optimizer", "cma-es"))
    fitness = make_fitness(trial.context, options)
    population = make_population(trial.phenotype, trial.phenotype.genes("genotype"), options)
    images, labels = fitness.draw()
    candidates = population.center()[None]
    if readout == "direct":
        outputs = population.logits(candidates, images)[0]
    else:
        (features,) = population.features(candidates, images, "5")
        outputs = cross_validate(features, labels, 3, 3, 30)
        if measure == "cross-entropy":
            outputs = outputs * sharpness(outputs, labels)
    expected = {
        "cross-entropy": -nn.functional.cross_entropy(outputs, labels),
        "squared-error": -(outputs - torch.eye(3)[labels]).square().sum(1).mean(),
        "accuracy": (outputs.argmax(1) == labels).float().mean(),
    }[measure]
    torch.testing.assert_close(fitness(population, candidates, (images, labels))[0], expected)
    loss = 1 - expected if measure == "accuracy" else -expected
    torch.testing.assert_close(fitness.as_loss(expected), loss)


def test_by_default_a_solved_readout_is_judged_by_what_it_minimises() -> None:
    trial = OptimizerTrial(plugin_class("optimizer", "cma-es"))
    measures = {
        readout: make_fitness(trial.context, EvolutionOptions(**{**RIDGE, "readout": readout})).measure
        for readout in ("direct", "ridge")
    }
    assert measures == {"direct": "task", "ridge": "squared-error"}


def test_equal_seeds_give_equal_bits(tmp_path: Path) -> None:
    options: dict[str, Any] = {"genes": "embeddings", **RIDGE}
    (first, a), (second, b) = evolve(tmp_path, **options), evolve(tmp_path, **options)
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()
    assert a["test_accuracy"] == b["test_accuracy"]


def test_a_warm_start_never_ends_below_its_start(tmp_path: Path) -> None:
    tables, plugins = digits_tables(rounds=4), load_plugins()
    start, trained = run_config(resolve_config(tables, plugins, "test"), plugins, "test", tmp_path / "adam")
    run, result = evolve(tmp_path, genes="embeddings", warm_start=str(start.path))
    assert rows_of(run)[0]["validation_accuracy"] == trained["validation_accuracy"]
    assert result["validation_accuracy"] >= trained["validation_accuracy"] > 0.9


def test_kernels_evolved_from_scratch_reach_90_percent(tmp_path: Path) -> None:
    options = {"readout": "ridge", "ridge_images": 1000, "separable": True}
    run, result = evolve(tmp_path, rounds=2, genes="genotype", **options)
    assert result["test_accuracy"] >= 0.9
    assert result["validation_accuracy"] >= rows_of(run)[0]["validation_accuracy"]


@pytest.mark.parametrize("readout", ["ridge", "svm"])
def test_the_reported_readout_is_solved_on_all_training_images(readout: str) -> None:
    cls = plugin_class("optimizer", "cma-es")
    trial = OptimizerTrial(cls, cls.Options(**{**RIDGE, "readout": readout}))
    trial.step()
    trial.optimizer.finish_round()
    network = trial.phenotype.network
    inputs, labels = trial.context.train_images.take(torch.arange(64))
    features: list[Tensor] = []
    network[5].register_forward_pre_hook(lambda _, args: features.append(args[0]))
    with torch.no_grad():
        trial.phenotype.eval()(inputs)
    regression = RidgeRegression(64, 3, inputs.device)
    regression.add(features[0], labels)
    solution = regression.solve(30)
    if readout == "svm":
        solution = fit_svm(features[0], labels, solution, 30)
    expected = solution.sharpened(features[0], labels)
    assert not torch.equal(expected.weight, solution.weight)
    torch.testing.assert_close(network[5].weight.detach(), expected.weight, rtol=1e-3, atol=1e-3)


class Fragile(genophen.Genotype):
    """Writes not-a-number where its gene is above zero."""

    name = "fragile"
    description = "breaks for half of all candidates"

    def __init__(
        self, options: genophen.Options, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.targets = targets
        self.gene = nn.Parameter(torch.zeros(2))

    def express(self) -> dict[str, Tensor]:
        factor = torch.where(self.gene[0] > 0, torch.nan, 1 + self.gene.sum())
        return {name: target.initial * factor for name, target in self.targets.items()}

    def genes(self, scope: str) -> list[str]:
        return ["gene"]


@pytest.mark.parametrize("name", ["cma-es", "snes", "pgpe"])
@pytest.mark.parametrize("options", [{}, {"fitness": "accuracy"}, RIDGE])
def test_candidates_that_are_not_finite_rank_worst_and_are_counted(
    name: str, options: dict[str, Any]
) -> None:
    cls = plugin_class("optimizer", name)
    trial = OptimizerTrial(cls, cls.Options(population_size=16, stdev_init=0.2, **options), Fragile)
    for _ in range(12):
        metrics = trial.step()
        assert torch.isfinite(torch.as_tensor(metrics.train_loss))
        assert torch.isfinite(torch.as_tensor(metrics.extras["fitness_best_so_far"]))
    assert metrics.extras["non_finite_candidates"] > 0
    trial.optimizer.finish_round()
    assert float(trial.phenotype.genotype.gene.detach()[0]) < 0  # where the numbers are finite
    assert all(torch.isfinite(parameter).all() for parameter in trial.phenotype.parameters())


def test_a_generation_without_a_finite_candidate_is_a_diverged_run() -> None:
    cls = plugin_class("optimizer", "cma-es")
    trial = OptimizerTrial(cls, cls.Options())
    with torch.no_grad():
        trial.phenotype.network[5].bias.fill_(torch.nan)
    assert torch.isnan(torch.as_tensor(trial.step().train_loss))


def test_a_full_covariance_of_many_genes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(genophen.ConfigError, match=r"4,244 genes[\s\S]*leave separable to its default"):
        evolve(tmp_path, separable=False)
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_what_is_left_open_is_derived_from_genes_and_images(tmp_path: Path) -> None:
    _, many = evolve(tmp_path, rounds=1, readout="ridge")
    separable, images = "optimizer.cma-es.separable", "optimizer.cma-es.ridge_images"
    assert many["derived"] == {separable: True, images: 1197}
    assert many["sample_evaluations"] == (4 * 8 + 2) * 1197
    _, few = evolve(tmp_path, rounds=1, genes="embeddings", readout="ridge", ridge_images=90)
    assert few["derived"] == {separable: False}
    _, given = evolve(tmp_path, rounds=1, genes="embeddings", separable=True)
    assert given["derived"] == {}


def test_what_is_derived_is_said(tmp_path: Path) -> None:
    tables = digits_tables(rounds=1)
    tables["optimizer"] = {"name": "cma-es", "cma-es": {"generations_per_round": 1, "population_size": 4}}
    plugins, notes = load_plugins(), []
    run_config(resolve_config(tables, plugins, "test"), plugins, "test", tmp_path / "run", (), notes.append)
    assert "optimizer.cma-es.separable = true, as it was left open" in notes


def test_pgpe_settles(tmp_path: Path) -> None:
    cls = plugin_class("optimizer", "pgpe")
    searcher = cls(cls.Options()).make_searcher(10, seed=0)
    for _ in range(800):
        searcher.tell(-(searcher.ask() - 1).square().sum(1))
    assert float((searcher.center() - 1).square().sum()) < 1e-8


def test_impossible_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(genophen.ConfigError, match=r"1,298[\s\S]*up to 1,197"):
        evolve(tmp_path, genes="embeddings", readout="ridge", ridge_images=1298)
    with pytest.raises(genophen.ConfigError, match=r"at least 2 a fold \(20\), not 10"):
        evolve(tmp_path, genes="embeddings", readout="ridge", ridge_images=10, ridge_folds=10)
    with pytest.raises(genophen.ConfigError, match="cannot open the run directory"):
        evolve(tmp_path, genes="embeddings", warm_start=str(tmp_path / "none"))
    with pytest.raises(genophen.ConfigError, match="multiple of 2"):
        evolve(tmp_path, "pgpe", population_size=5)
    tables, plugins = digits_tables(rounds=1), load_plugins()
    tables["genotype"]["hypernetwork"]["embedding_dim"] = 5
    other, _ = run_config(resolve_config(tables, plugins, "test"), plugins, "test", tmp_path / "other")
    with pytest.raises(genophen.ConfigError, match=r"bias_in has shape \(16, 5\)"):
        evolve(tmp_path, genes="embeddings", warm_start=str(other.path))


def test_cma_es_says_that_it_needs_two_genes() -> None:
    cls = plugin_class("optimizer", "cma-es")
    with pytest.raises(genophen.ConfigError, match="1 gene"):
        cls().make_searcher(1, seed=0)
    assert plugin_class("optimizer", "snes")().make_searcher(1, seed=0).center().shape == (1,)


def test_a_genotype_without_embeddings_says_so(tmp_path: Path) -> None:
    tables, plugins = digits_tables(rounds=1), load_plugins()
    tables["genotype"] = {"name": "direct"}
    tables["optimizer"] = {"name": "snes", "snes": {"genes": "embeddings"}}
    with pytest.raises(genophen.ConfigError, match="direct has no embeddings"):
        run_config(resolve_config(tables, plugins, "test"), plugins, "test", tmp_path / "run")


def test_without_evotorch_the_error_says_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "evotorch", None)
    with pytest.raises(genophen.GenophenError, match=re.escape(genophen.install_command("evolution"))):
        evolve(tmp_path, genes="embeddings")


class TestWorkers:
    """A generation spread over Ray actors on this machine."""

    options: ClassVar = {"genes": "embeddings", "num_workers": 2, "population_size": 8}

    def test_the_result_is_that_of_this_process(self, tmp_path: Path) -> None:
        run, result = evolve(tmp_path, rounds=1, **self.options)
        alone, expected = evolve(tmp_path, rounds=1, **{**self.options, "num_workers": 0})
        assert result["sample_evaluations"] == expected["sample_evaluations"]
        for row, other in zip(rows_of(run), rows_of(alone), strict=True):
            assert row["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-3)

    def test_classes_of_a_single_file_plugin_are_sent_along(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.py"
        file.write_text(
            "import genophen\nfrom genophen_plugins.genotypes.direct import Direct\n"
            "class Mine(Direct):\n    name = 'mine'\n"
            "@genophen.hookimpl\ndef register_genotypes(register):\n    register(Mine)\n"
        )
        tables, plugins = digits_tables(rounds=1), load_plugins([file])
        snes = {"num_workers": 1, "population_size": 4, "generations_per_round": 1}
        tables |= {"genotype": {"name": "mine"}, "optimizer": {"name": "snes", "snes": snes}}
        _, result = run_config(resolve_config(tables, plugins, "test"), plugins, "test", tmp_path / "run")
        assert result["status"] == "completed"

    def test_a_worker_killed_in_mid_generation_changes_nothing(self) -> None:
        trial = OptimizerTrial(plugin_class("optimizer", "cma-es"))
        phenotype, options = trial.phenotype, EvolutionOptions(num_workers=2)
        genes = phenotype.genes("genotype")
        fitness = make_fitness(trial.context, options)
        workers, batch = Workers(phenotype, genes, fitness, options), fitness.draw()
        count = len(batch[1])
        candidates = torch.randn(40, make_population(phenotype, genes, options).num_genes)
        undisturbed = workers.evaluate(candidates, batch)
        assert phenotype.samples.take().sample_evaluations == 40 * count
        victim = workers.process_ids()[0]

        def kill() -> None:
            time.sleep(0.01)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        for _ in range(5):
            torch.testing.assert_close(workers.evaluate(candidates, batch), undisturbed, rtol=0, atol=0)
        killer.join()
        assert victim not in workers.process_ids()
        assert phenotype.samples.sample_evaluations == 5 * 40 * count

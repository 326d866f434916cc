"""The task gymnasium: episodes by their seeds, whatever stands beside them; what is seen and done."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from conftest import Output
from helpers import plugin_class
from numpy.testing import assert_array_equal

import genophen
from genophen.config.settings import TrainingSettings
from genophen.config.toml import write_toml
from genophen.testing import check_task
from genophen.testing.small_data import small_context

gymnasium = pytest.importorskip("gymnasium")

from genophen_plugins.tasks.gymnasium import SEEDS, Gymnasium  # noqa: E402
from genophen_plugins.tasks.gymnasium_spaces import Spaces  # noqa: E402
from genophen_plugins.tasks.running_statistics import RunningStatistics, Sums, normalized  # noqa: E402

WALK = "environments:Walk-v0"


def task(environment: str = WALK, **options: Any) -> Gymnasium:
    made = Gymnasium(Gymnasium.Options(environment=environment, **options))
    made.setup(small_context(TrainingSettings()))
    return made


def networks(of: Gymnasium, count: int, seed: int = 0) -> genophen.Networks:
    """Perceptrons of three hidden units with random weights."""
    mlp = plugin_class("architecture", "mlp")
    architecture = mlp(mlp.Options(hidden=[3]))
    architecture.fill_in(of.input_shape, of.num_outputs)
    network, draws = architecture.build(), torch.Generator().manual_seed(seed)
    shapes = {name: (count, *each.shape) for name, each in network.named_parameters()}
    return genophen.Networks(network, {n: torch.randn(s, generator=draws) for n, s in shapes.items()})


def tables(**options: Any) -> dict[str, Any]:
    settings = {"environment": WALK, "evaluation_episodes": 5, "episodes": 2}
    search = {"population_size": 6, "generations_per_round": 2, "genes": "all"}
    return {
        "task": {"name": "gymnasium", "gymnasium": settings | options},
        "architecture": {"name": "mlp", "mlp": {"hidden": [3]}},
        "genotype": {"name": "direct"},
        "optimizer": {"name": "cma-es", "cma-es": search},
        "training": {"rounds": 3},
    }


@pytest.mark.parametrize(
    "options", [{}, {"environment": "Pendulum-v1", "normalize": True}, {"environment": WALK}], ids=str
)
def test_it_keeps_the_contract(options: dict[str, Any]) -> None:
    check_task(Gymnasium, Gymnasium.Options(evaluation_episodes=3, horizon=20, **options))


@pytest.mark.parametrize("environment", ["CartPole-v1", "Pendulum-v1", WALK])
def test_an_episode_is_that_of_a_plain_loop(environment: str) -> None:
    own = task(environment)
    network = networks(own, 1)
    found = own.run(network, torch.tensor([5, 6]))
    weights = {name: stack[0].double().numpy() for name, stack in network.weights().items()}
    for index, seed in enumerate((5, 6)):
        env = gymnasium.make(environment)
        seen, _ = env.reset(seed=seed)
        steps, returned, ended, cut = 0, 0.0, False, False
        while not ended and not cut:
            hidden = np.tanh(weights["layers.0.weight"] @ seen + weights["layers.0.bias"])
            output = weights["layers.1.weight"] @ hidden + weights["layers.1.bias"]
            space = env.action_space
            action = output.argmax() if environment == "CartPole-v1" else None
            if action is None:
                action = (space.low + (space.high - space.low) * (np.tanh(output) + 1) / 2).astype(np.float32)
            seen, reward, ended, cut, _ = env.step(action)
            steps, returned = steps + 1, returned + float(reward)
        assert found.steps[0, index] == steps
        assert found.returns[0, index].item() == pytest.approx(returned, rel=1e-5)
        assert bool(found.failed[0, index]) == ended


def test_a_pair_is_the_same_to_the_bit_whatever_stands_beside_it() -> None:
    own, seeds = task(normalize=True), torch.arange(4)
    batch = own.draw()._replace(seeds=seeds, mean=torch.tensor([0.1, 100.0]).double())
    together = own.fitness(networks(own, 5), batch)
    ((sums, _),) = own.take_notes()
    other = task(normalize=True)
    for row in range(5):
        alone = networks(own, 5).some(torch.tensor([row]))
        episodes = [other.fitness(alone, batch._replace(seeds=seeds[e : e + 1])) for e in range(4)]
        assert torch.stack(episodes).mean() == together[row]
    one_by_one = [each for noted, _ in other.take_notes() for each in noted]
    assert len(one_by_one) == len(sums) == 20
    for a, b in zip(sums, one_by_one, strict=True):
        assert a.steps == b.steps
        assert_array_equal(a.first, b.first)
        assert_array_equal(a.second, b.second)


def test_more_pairs_than_are_run_together(monkeypatch: pytest.MonkeyPatch) -> None:
    own, seeds = task(), torch.arange(3)
    whole = own.run(networks(own, 4), seeds)
    monkeypatch.setattr("genophen_plugins.tasks.gymnasium_environments.TOGETHER", 5)
    assert torch.equal(task().run(networks(own, 4), seeds).returns, whole.returns)


def test_episodes_and_steps_are_counted() -> None:
    own = task()
    network = networks(own, 3)
    network.samples.take()
    steps = own.run(network, torch.arange(2)).steps
    assert (network.samples.episodes, network.samples.sample_evaluations) == (6, int(steps.sum()))


def test_horizons() -> None:
    assert "of 12 steps" in task().digest()
    assert "of 7 steps" in task(horizon=7).digest()
    assert "of 1000 steps" in task("environments:Endless-v0").digest()
    own = task(horizon=30)
    idle = genophen.Networks(
        torch.nn.Linear(2, 1), {"weight": torch.zeros(1, 1, 2), "bias": torch.zeros(1, 1)}
    )
    found = own.run(idle, torch.arange(3))  # the middle of the bounds is 0.25: it drifts out of the line
    assert found.failed.all()
    assert 12 < found.steps.min() <= found.steps.max() < 30


def test_starts_of_training_and_of_measuring_have_no_seed_in_common() -> None:
    own = task()
    assert own.starts(10_000, torch.Generator().manual_seed(0)).max() < SEEDS
    splits = [own.measured_starts(split).tolist() for split in ("validation", "test")]
    assert min(map(min, splits)) >= SEEDS
    assert len({*splits[0], *splits[1]}) == 200


def test_actions() -> None:
    box, discrete = gymnasium.spaces.Box, gymnasium.spaces.Discrete
    seen = box(-1, 1, (2,))
    chosen = Spaces("x", seen, discrete(3, start=-1), "tanh")
    outputs = np.array(
        [[0.0, 2.0, 1.0], [1.0, 1.0, 0.0], [np.nan, -1.0, -np.inf], [-np.inf, -np.inf, np.inf]]
    )
    assert chosen.outputs == 3
    assert chosen.actions(outputs).tolist() == [0, -1, 0, 1]
    bounds = box(np.array([0.0, -2.0], np.float32), np.array([1.0, 2.0], np.float32))
    outputs = np.array([[0.0, 0.0], [1e9, -np.inf], [np.nan, math.atanh(0.5)]])
    scaled = Spaces("x", seen, bounds, "tanh").actions(outputs)
    assert scaled.dtype == np.float32
    assert scaled.tolist() == pytest.approx(np.array([[0.5, 0.0], [1.0, -2.0], [0.5, 1.0]]))
    cut = Spaces("x", seen, bounds, "clip").actions(outputs)
    assert cut.tolist() == pytest.approx(np.array([[0.0, 0.0], [1.0, -2.0], [0.0, math.atanh(0.5)]]))
    free = Spaces("x", seen, box(-np.inf, np.inf, (2,)), "clip").actions(np.array([[5.0, np.inf]]))
    assert free.tolist() == [[5.0, np.finfo(np.float32).max]]


def test_statistics_are_numpys() -> None:
    draws, middle = np.random.default_rng(0), np.array([3.0, -1.0])
    episodes = [draws.normal(5, 2, (steps, 2)) for steps in (7, 1, 30)]
    sums = [Sums(len(x), (x - middle).sum(0), ((x - middle) ** 2).sum(0)) for x in episodes]
    whole, parted = RunningStatistics(2), RunningStatistics(2)
    assert [each.tolist() for each in whole.mean_and_width()] == [[0, 0], [1, 1]]
    whole.add(sums, middle)
    for each in sums:
        parted.add([each], middle)
    every = np.concatenate(episodes)
    mean, width = whole.mean_and_width()
    assert mean.tolist() == pytest.approx(every.mean(0))
    assert width.tolist() == pytest.approx(every.std(0))
    assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), parted.buffers(), strict=True))
    assert normalized(every[0], mean.numpy(), width.numpy()) == pytest.approx(
        (every[0] - every.mean(0)) / every.std(0)
    )
    assert normalized(np.array([1e9, -1e9]), mean.numpy(), width.numpy()).tolist() == [10, -10]


def test_normalised_runs_keep_the_statistics_of_the_best_round(tmp_path: Path, command: Any) -> None:
    config = tmp_path / "config.toml"
    config.write_text(write_toml(tables(normalize=True)))
    genophen.run(str(config), out=tmp_path / "run", overrides=["training.rounds=2"])
    whole = genophen.run(str(config), out=tmp_path / "whole")
    genophen.resume(tmp_path / "run", rounds=3)
    rows = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("run", "whole")]
    assert rows[0] == rows[1]
    found = genophen.Run.load(tmp_path / "run")
    assert found["test_score"] == whole["test_score"] == found.evaluate("test").value
    assert whole["episodes"] == 3 * 2 * 6 * 2  # rounds, generations, candidates, starts
    assert command("play", tmp_path / "run").err.count("return") == 1
    assert found.phenotype().parameter_counts().total == 2 * 3 + 3 + 3 + 1


def test_statistics_change_what_networks_see(tmp_path: Path) -> None:
    own = task(normalize=True)
    before = own.run(networks(own, 2), torch.arange(2)).returns
    own.fitness(networks(own, 2), own.draw())
    assert not torch.equal(own.run(networks(own, 2), torch.arange(2)).returns, before)
    mean, width = own.draw()[1:]
    assert mean[1] > 100
    assert width[1] > 5


def test_a_warm_start_takes_the_statistics_along(tmp_path: Path) -> None:
    config = tables(normalize=True)
    genophen.run(config, out=tmp_path / "first", overrides=["training.keep=last"])
    warm = [f"optimizer.cma-es.warm_start={tmp_path / 'first'}", "training.rounds=1"]
    genophen.run(config, out=tmp_path / "second", overrides=warm)
    first, second = (genophen.Run.load(tmp_path / name).metrics for name in ("first", "second"))
    assert second[0]["validation_score"] == first[-1]["validation_score"] != first[0]["validation_score"]


def test_a_run_ends_once_its_target_is_reached_in_trials(tmp_path: Path) -> None:
    done = genophen.run(tables(target=-12.0, horizon=6), out=tmp_path / "solved")
    assert done["stop_reason"] == "solved"
    assert done["test_episodes"] >= 5
    never = genophen.run(tables(target=0.0, horizon=6), out=tmp_path / "never")
    assert never["stop_reason"] is None
    assert never["test_episodes"] == 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"environment": "CartPole-v7"}, 2, "CartPole-v7"),
        ({"environment": "Nowhere-v0"}, 2, "Nowhere"),
        ({"environment": "no_such_module:Walk-v0"}, 2, "no_such_module"),
        ({"environment": "environments:Pictures-v0"}, 2, "allowed: a vector of numbers: a Box with one axis"),
        ({"arguments": {"wheels": 3}}, 5, "wheels"),
        ({"arguments": {"wheels": [3]}}, 2, "task.gymnasium.arguments.wheels"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused(
    options: dict[str, Any], code: int, words: str, tmp_path: Path, command: Any
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(write_toml(tables(**options)))
    for arguments in (("run", config, "--out", tmp_path / "run"), ("run", config, "--dry-run")):
        found: Output = command(*arguments)
        assert found.code == code, found
        assert words in found.err
    assert not (tmp_path / "run").exists()


def test_without_gymnasium_the_error_names_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: Any
) -> None:
    real = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "gymnasium":
            raise ModuleNotFoundError("No module named 'gymnasium'", name="gymnasium")
        return real(name, *rest)

    monkeypatch.setattr("genophen_plugins.extras.import_module", without)
    config = tmp_path / "config.toml"
    config.write_text(write_toml(tables()))
    found: Output = command("run", config, "--out", tmp_path / "run")
    assert found.code == 5
    assert "No module named 'gymnasium'" in found.err
    assert "pip install" in found.err
    assert "[control]" in found.err


def test_play_shows_the_environments_images_or_bars(tmp_path: Path, command: Any) -> None:
    genophen.run(tables(horizon=6), out=tmp_path / "run")
    found: Output = command("play", tmp_path / "run", "--out", tmp_path / "episode.svg", "--steps", 4)
    assert found.code == 0
    assert "Walk-v0: " in found.err
    images = [
        each for each in ElementTree.parse(tmp_path / "episode.svg").iter() if each.tag.endswith("image")
    ]
    assert len(images) == 5
    assert {each.get("width") for each in images} == {"234"}  # every third pixel of 700
    assert command("play", tmp_path / "run", "--start", 5).code == 2


def test_bars_where_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any) -> None:
    monkeypatch.setattr("environments.Walk.render", lambda self: None)
    genophen.run(tables(horizon=6), out=tmp_path / "run")
    found: Output = command("play", tmp_path / "run")
    assert "a bar for each number that is observed" in found.err

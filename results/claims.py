"""Figures in the running text of results/README.md, from the row files: phrases that a test looks for."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from statistics import fmean, stdev
from typing import Any

import page

from genophen.compare.statistics import paired_t_test, t_interval

Line = dict[str, Any]
#: Training images of CIFAR-10, less those for validation.
CIFAR_IMAGES = 45_000


def claims() -> Iterator[str]:
    """Phrases that have to stand on the page."""
    yield from _report()
    yield from _ablation()
    yield from _evolution()
    yield from _without_gradient()
    yield from _digits()
    yield from _shakespeare()
    yield from _sequences()
    yield from _classic_control()


def accuracies(name: str) -> dict[str, float]:
    """Mean test accuracies of a row file's models, in per cent."""
    return {
        line["model"]: 100 * fmean(t["test_accuracy"] for t in line["trials"]) for line in page.read(name)
    }


def above_report(name: str) -> dict[str, float]:
    """By how many points a row file's models are above the report."""
    found = accuracies(name)
    return {
        line["model"]: found[line["model"]] - 100 * line["reported_test_accuracy"] for line in page.read(name)
    }


def _report() -> Iterator[str]:
    mnist = above_report("table2_faithful")
    yield f"above the report in every row, by {min(mnist.values()):.2f} to {max(mnist.values()):.2f} points"
    assert min(mnist.values()) > 0

    faithful = {name: above_report(f"table{name}_faithful") for name in "345"}
    above = [(name, model) for name, rows in faithful.items() for model, gain in rows.items() if gain > 0]
    (table, model), *others = above
    assert not others
    conv = [-rows["ConvModel"] for rows in faithful.values()]
    yield f"below the report in every row but one ({model} of {page.TABLES[table][0]})"
    yield f"for ConvModel by {min(conv):.1f} to {max(conv):.1f} points"

    trial = page.read("table5_faithful")[0]["trials"][0]
    settings, rounds = trial["settings"], trial["rounds"]
    steps = rounds * -(-CIFAR_IMAGES // settings["training.batch_size"])
    decay = settings["optimizer.adam.decay"]
    yield f"The decay of {decay}, which the report names for MNIST alone, leaves {decay**steps:.1%}"
    stuck = accuracies("table5_faithful")["Hyper32_32"]
    yield f"Hyper32_32 stays at chance, {stuck:.2f}%, with all three seeds"

    ours = [above_report(name) for _, name in page.TABLES.values()]
    assert all(gain > 0 for rows in ours for gain in rows.values())
    conv = [rows["ConvModel"] for rows in ours[1:]]
    yield "Our recipe is above the report in every row"
    yield f"ConvModel too, by {min(conv):.1f} to {max(conv):.1f} points"
    block3 = accuracies("table5_block3")
    gap = block3["ConvModel"] - block3["Hyper16_16"]
    yield f"Hyper16_16 with a tenth is {gap:.1f} points below"
    assert block3["Hyper32_32"] > block3["ConvModel"]


def _ablation() -> Iterator[str]:
    steps = accuracies("ablation_block3")
    first = 100 * _trial("table5_faithful", "Hyper16_16")["test_accuracy"]
    last = 100 * _trial("table5_block3", "Hyper16_16")["test_accuracy"]
    values = [first, *steps.values(), last]
    gains = [after - before for before, after in itertools.pairwise(values)]
    standardised, dropout, one_cycle, _, _, rounds = gains
    yield (
        f"the lower dropout gives most, {dropout:.1f} points, then standardised kernels, {standardised:.1f}, "
        f"and the one-cycle schedule, {one_cycle:.1f}"
    )
    yield f"35 more rounds, {rounds:.1f}"
    mnist = [
        100 * _trial("table2_faithful", "Hyper4_4")["test_accuracy"],
        *accuracies("ablation_mnist").values(),
    ]
    assert all(abs(after - before) < 0.1 for before, after in itertools.pairwise(mnist))
    yield "On MNIST each step is within a tenth of a point of the one before."


def _evolution() -> Iterator[str]:
    folder = page.HERE / "mnist_evolution_comparison"
    comparison = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    groups = {group["name"]: group for group in comparison["groups"]}
    evaluations = groups["Hyper4_4 evolved"]["sample_evaluations_mean"] / 1e6
    backward = groups["Hyper4_4 by Adam"]["backward_samples_mean"] / 1e6
    yield f"A budget of {evaluations:.2f} million sample evaluations for evolution and Adam alike"
    yield f"Adam's {backward:.1f} million backward passes count two each"

    found = accuracies("mnist_evolution")
    adam, best = found["Hyper4_4 by Adam"], max(found[name] for name in found if "evolved" in name)
    assert best == found["CPPN evolved, SVM"]
    (pair,) = (
        each
        for each in comparison["pairs"]
        if (each["first"], each["second"]) == ("Hyper4_4 evolved", "Hyper4_4 by Adam")
    )
    low, high = (-100 * bound for bound in reversed(pair["bootstrap"]["interval"]))
    yield (
        f"Adam has {adam:.2f}%, {adam - found['Hyper4_4 evolved']:.2f} points above evolved Hyper4_4 with "
        f"ridge regression (95% over test images: {low:.2f} to {high:.2f}), "
        f"{adam - found['Hyper4_4 evolved, SVM']:.2f} above it with the support vector machine, and "
        f"{adam - best:.2f} above the best evolved row"
    )
    report = max(100 * line["reported_test_accuracy"] for line in page.read("table2_mnist"))
    assert min(found["Hyper4_4 start, SVM"], found["CPPN start, SVM"]) > report
    yield f"above the best row of the report's table ({report:.2f}%)"
    yield _shown()
    images = page.read("mnist_evolution")[0]["trials"][0]["settings"]["dataset.validation_size"]
    error = 100 * math.sqrt(0.99 * 0.01 / images)
    yield (
        f"{images:,} validation images do not tell rounds apart (one standard error of an accuracy near 99% "
        f"is {error:.2f} points)"
    )


def _shown() -> str:
    """Which evolved rows are above their start beyond chance."""
    lines = {
        line["model"]: [t["test_accuracy"] for t in line["trials"]] for line in page.read("mnist_evolution")
    }
    shown = []
    for model in (name for name in lines if "evolved" in name):
        gains = [a - b for a, b in zip(lines[model], lines[model.replace("evolved", "start")], strict=True)]
        p = paired_t_test(gains)
        if p is not None and p < 0.05:
            shown.append(model)
    assert shown == ["Hyper4_4 evolved", "CPPN evolved, SVM"]
    return (
        "beyond chance (p below 0.05) for Hyper4_4 with ridge regression and for the CPPN with the support "
        "vector machine, and not shown for the other two"
    )


def _without_gradient() -> Iterator[str]:
    anchor = 75.9
    (trial,) = _line("cifar_without_gradient", "500 kernels, evolved, start")["trials"]
    found = 100 * trial["test_accuracy"]
    assert found < anchor
    yield f"CIFAR-10 without a gradient does not reach {anchor}% here"
    kernels = trial["settings"]["architecture.patch-features.kernels"]
    yield (
        f"the unevolved distribution of Gabor kernels with {kernels} kernels has {found:.2f}% on the test "
        "images (one seed, no claim)"
    )


def _digits() -> Iterator[str]:
    files = [
        {line["model"]: line["trials"] for line in page.read(name)}
        for name in ("digits_1_thread", "digits_2_threads")
    ]
    one, two = (
        {model: [t["test_accuracy"] for t in trials] for model, trials in file.items()} for file in files
    )
    assert all(one[model] == two[model] for model in one if model != "adam")
    assert one["adam"] != two["adam"]
    yield "Evolution, its start and its random search have the same accuracies on one thread and on two"
    trial = files[0]["adam"][0]
    images, batch = trial["images"], trial["settings"]["training.batch_size"]
    steps = trial["backward_samples"] / images["train"] * -(-images["train"] // batch)
    yield f"roundings grow over {steps:.0f} steps of a constant learning rate"
    yield f"One of the {images['test']} test images is {100 / images['test']:.2f} points"
    spreads = [
        stdev(100 * (a - b) for a, b in zip(each["adam"], each["cma-es"], strict=True)) for each in (one, two)
    ]
    yield (
        "On one thread the five differences happen to lie close together (standard deviation "
        f"{spreads[0]:.2f} points), on two they do not ({spreads[1]:.2f})."
    )


def _shakespeare() -> Iterator[str]:
    lines = {line["model"]: line for line in page.read("shakespeare")}
    counts = [line["total_parameters"] for model, line in lines.items() if "static" not in model]
    lstm = lines["LSTM"]["total_parameters"]
    assert max(abs(count - lstm) for count in counts) <= 0.02 * lstm

    def behind(model: str, other: str) -> str:
        values = page.differences(lines[model], lines[other], page.BITS)
        assert min(values) > 0
        low, high = t_interval(values) or (math.nan, math.nan)
        interval = f"95% over {len(values)} seeds: {low:.3f} to {high:.3f}"
        return f"{fmean(values):.3f} ({interval if len(values) > 1 else 'one seed, no claim'})"

    yield f"The HyperLSTM is behind the LSTM by {behind('HyperLSTM', 'LSTM')} bits per character"
    yield f"at its better learning rate by {behind('HyperLSTM at 0.01', 'LSTM')}"
    yield f"with layer normalisation by {behind('LN HyperLSTM', 'LN LSTM')}"
    yield f"the static hypernetwork by {behind('static hypernetwork', 'LSTM')}"
    yield f"fast weights by {behind('fast weights', 'LSTM')}"
    yield f"Without layer normalisation an LSTM is behind one with it by {behind('LSTM', 'LN LSTM')}"
    yield f"a HyperLSTM by {behind('HyperLSTM at 0.01', 'LN HyperLSTM')}"


def _sequences() -> Iterator[str]:
    lines = {line["model"]: line for line in page.read("unknown_delay")}
    settings = lines["by Adam"]["trials"][0]["settings"]
    budget = settings["training.max_sample_evaluations"]
    assert all(trial["sample_evaluations"] == budget for line in lines.values() for trial in line["trials"])
    exact = {
        model: sum(trial["test_accuracy"] == 1 for trial in line["trials"]) for model, line in lines.items()
    }
    count = {model: len(line["trials"]) for model, line in lines.items()}
    adam, evolved = "by Adam", "evolved, CMA-ES"
    yield (
        f"With {budget:,} sample evaluations each, {exact[adam]} of {count[adam]} seeds by Adam and "
        f"{exact[evolved]} of {count[evolved]} evolved ones are exact on delays of up to twice the longest"
    )


def _classic_control() -> Iterator[str]:
    """How many test means are at the task's mark, and which are not."""
    for name, score in (("classic_control", "test_score"), ("classic_control_evotorch", "test_return")):
        marks = {"CartPole-v1": 500.0, "Acrobot-v1": -90.0}
        found = [
            (marks[line["model"].split(",")[0]], trial[score])
            for line in page.read(name)
            for trial in line["trials"]
        ]
        below = [value for mark, value in found if value < mark]
        others = " and ".join(f"{value:.1f}" for value in sorted(below))
        at = len(found) - len(below)
        yield f"{at} of the {len(found)} test means are at the mark or above; below are {others}"


def _trial(name: str, model: str) -> Line:
    """The first trial of a model."""
    trial: Line = _line(name, model)["trials"][0]
    return trial


def _line(name: str, model: str) -> Line:
    """A model's line."""
    (line,) = (line for line in page.read(name) if line["model"] == model)
    return line

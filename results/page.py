"""Write the tables of results/README.md anew from the row files beside it: python results/page.py

A table stands between `<!-- table NAME -->` and `<!-- end -->`; what stands elsewhere is left as it is.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from genophen.compare.statistics import paired_t_test, t_interval
from genophen.config.toml import read_toml
from genophen.sweep.evaluations import as_table

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
POPULATION = HERE.parent / "benchmarks" / "results" / "population.json"
ENCODINGS = HERE.parent / "examples" / "comparisons" / "encodings_mnist.toml"
Line = dict[str, Any]
#: The score of texts, as the trials of row files have it.
BITS = "test_bits_per_character"

#: Heading and the last part of the setting's key, of the settings table.
SETTINGS = {
    "rounds": "training.rounds",
    "batch size": "training.batch_size",
    "learning rate": ".learning_rate",
    "schedule": ".schedule",
    "dropout of blocks": ".block_dropout",
    "of the dense layer": ".dense_dropout",
    "flips": "augmentation.flip",
    "precision": "training.precision",
    "kernels": ".normalization",
}
#: The same, of searches.
SEARCH = {
    "rounds": "training.rounds",
    "generations a round": ".generations_per_round",
    "candidates": ".population_size",
    "images": ".ridge_images",
    "first step": ".stdev_init",
    "separable": ".separable",
    "precision": "training.precision",
}
#: Tables 2 to 5: their network and the name that their row files begin with.
TABLES = {
    "2": ("mnist-cnn", "table2_mnist"),
    "3": ("VGG-Block1", "table3_block1"),
    "4": ("VGG-Block2", "table4_block2"),
    "5": ("VGG-Block3", "table5_block3"),
}


#: Row files of searches with their baselines.
SEARCHES = ["mnist_search", "mnist_gabor", "gabor_search", "cifar_without_gradient"]
#: Network and row, the file of the steps, the model in the tables at both ends, and these tables.
ABLATIONS = [
    ("mnist-cnn, Hyper4_4", "ablation_mnist", "Hyper4_4", "table2_faithful", "table2_mnist"),
    ("VGG-Block3, Hyper16_16", "ablation_block3", "Hyper16_16", "table5_faithful", "table5_block3"),
]


def read(name: str) -> list[Line]:
    """The lines of a row file that have a trial; none where there is no such file."""
    file = HERE / f"{name}.json"
    lines: list[Line] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return [line for line in lines if line["trials"]]


def settings_table() -> str:
    names = sorted(file.stem for file in HERE.glob("*.json"))
    rows = []
    for name in names:
        trials = [trial for line in read(name) for trial in line["trials"] if _by_gradient(trial)]
        if trials:
            rows.append([name, *_settings(trials, SETTINGS)])
    return _table(["file", *SETTINGS], rows)


def search_table() -> str:
    rows = []
    for line in itertools.chain.from_iterable(read(name) for name in ("mnist_evolution", *SEARCHES)):
        if not _by_gradient(line["trials"][0]):
            rows.append([line["model"], *_settings(line["trials"], SEARCH), _list(line["seeds"])])
    return _table(["row", *SEARCH, "seeds"], rows)


def report_table() -> str:
    """Tables 2 to 5: the report's figures, its recipe's and ours."""
    rows = []
    for number, (network, ours) in TABLES.items():
        faithful = {line["model"]: line for line in read(f"table{number}_faithful")}
        for line in read(ours):
            published, count = line["reported_test_accuracy"], line["kernel_parameters"]
            theirs = _accuracy(faithful.get(line["model"]))
            rows.append([network, line["model"], f"{count:,}", f"{published:.2%}", theirs, _accuracy(line)])
    return _table(["network", "row", "kernel parameters", "the report", "faithful", "ours"], rows)


def learning_rates_table() -> str:
    """Tables 6 and 7: test accuracies by learning rate, the report's in brackets."""
    found: dict[str, dict[str, str]] = {}
    for line in [*read("table6_faithful"), *read("table7_faithful")]:
        model, _, rate = line["model"].partition(" at ")
        found.setdefault(model, {})[rate] = f"{_accuracy(line)} ({line['reported_test_accuracy']:.2%})"
    rates = sorted({rate for row in found.values() for rate in row})
    return _table(
        ["row", *rates], [[model, *(row.get(rate, "") for rate in rates)] for model, row in found.items()]
    )


def ablation_table() -> str:
    """From the faithful recipe to ours, one difference after the other."""
    rows = []
    for network, steps, model, faithful, ours in ABLATIONS:
        ends = [[line for line in read(name) if line["model"] == model] for name in (faithful, ours)]
        for recipe, line in [
            *(("faithful", line) for line in ends[0]),
            *((f"+ {line['model']}", line) for line in read(steps)),
            *((f"= ours, {line['trials'][0]['rounds']} rounds", line) for line in ends[1]),
        ]:
            first = line["trials"][0]
            accuracies = [f"{first[key]:.2%}" for key in ("validation_accuracy", "test_accuracy")]
            rows.append([network, recipe, *accuracies])
    return _table(["network", "recipe", "validation accuracy", "test accuracy"], rows)


def evolution_table() -> str:
    """Evolved rows beside their unevolved starts, paired over seeds."""
    lines = {line["model"]: line for line in read("mnist_evolution")}
    rows = []
    for model, line in lines.items():
        before, start = lines.get(model.replace("evolved", "start")), []
        if "evolved" not in model or before is None:
            continue
        start = [trial["test_accuracy"] for trial in before["trials"]]
        evolved = [trial["test_accuracy"] for trial in line["trials"]]
        gains = [100 * (after - first) for after, first in zip(evolved, start, strict=True)]
        interval, p = t_interval(gains), paired_t_test(gains)
        rows.append(
            [
                model,
                f"{line['kernel_parameters']:,}",
                f"{fmean(start):.2%}",
                f"{', '.join(f'{accuracy:.2%}' for accuracy in evolved)}: **{fmean(evolved):.2%}**",
                f"{fmean(gains):+.2f}",
                f"{interval[0]:+.2f} to {interval[1]:+.2f}" if interval else "",
                f"{p:.2f}" if p is not None else "",
                ", ".join(f"{trial['best_round']} of {trial['rounds']}" for trial in line["trials"]),
            ]
        )
    head = ["row", "kernel parameters", "start", "evolved", "gain", "95% over seeds", "p", "round kept"]
    return _table(head, rows)


def baselines_table() -> str:
    """Evolved rows beside the start and a random search, paired over seeds."""
    rows = []
    for name in SEARCHES:
        lines = {line["model"]: line for line in read(name)}
        for model in dict.fromkeys(re.sub(", (start|random)$", "", model) for model in lines):
            evolved, others = (
                lines.get(model),
                [lines.get(f"{model}, {each}") for each in ("start", "random")],
            )
            gains = [_gain(evolved, other) if evolved else "" for other in others]
            rows.append([name, model, *(_accuracy(each) for each in (*others, evolved)), *gains])
    head = ["file", "row", "start", "random search", "evolved", "gain over the start", "over random search"]
    return _table(head, rows)


def encodings_table() -> str:
    """Encodings at equal kernel parameters, each beside the hypernetwork of that size, paired over seeds."""
    lines = {line["model"]: line for line in read("encodings_mnist")}
    rows = []
    for encoding, sizes in encodings().items():
        for size in sizes:
            line, reference = lines.get(f"{encoding} {size}".strip()), lines.get(f"hypernetwork {size}")
            if line is not None:
                beside = "" if line is reference or not size else _gain(line, reference)
                rows.append([encoding, f"{line['kernel_parameters']:,}", _accuracy(line), beside])
    return _table(["encoding", "kernel parameters", "test accuracy", "above the hypernetwork, points"], rows)


def encodings() -> dict[str, list[str]]:
    """The encodings of the comparison file, each with its sizes as its rows are named; one has none."""
    found: dict[str, list[str]] = {}
    for name in read_toml(ENCODINGS)["rows"]:
        encoding, _, size = name.partition(" ")
        found.setdefault(encoding, []).append(size)
    return found


def _gain(line: Line, baseline: Line | None) -> str:
    """By how many points a row is above another with the same seeds, with a 95% interval, and p."""
    if baseline is None:
        return "not run"
    gains = [100 * gain for gain in differences(line, baseline, "test_accuracy")]
    return _mean_difference(gains, 2)


def differences(line: Line, baseline: Line, key: str) -> list[float]:
    """By how much each seed that two rows have in common is above the other's."""
    before = {trial["seed"]: trial[key] for trial in baseline["trials"]}
    return [trial[key] - before[trial["seed"]] for trial in line["trials"] if trial["seed"] in before]


def _mean_difference(values: Sequence[float], digits: int) -> str:
    if len(values) < 2:
        return f"{fmean(values):+.{digits}f} (n = 1)" if values else "not run"
    low, high = t_interval(values) or (math.nan, math.nan)
    mean, low, high = (f"{value:+.{digits}f}" for value in (fmean(values), low, high))
    return f"{mean} ({low} to {high}), p = {paired_t_test(values):.2g}"


def digits_table() -> str:
    """The comparison on the digits, the same five seeds on one thread and on two."""
    files = ("digits_1_thread", "digits_2_threads")
    found = [{line["model"]: line for line in read(name)} for name in files]
    rows = []
    for better, other in (("adam", "cma-es"), ("cma-es", "cma-es, start"), ("cma-es", "cma-es, random")):
        rows.append([f"{better} over {other}", *(_gain(lines[better], lines[other]) for lines in found)])
    return _table(["gain", "1 thread", "2 threads"], rows)


def population_table() -> str:
    """The measured time of a candidate, genophen's, and how many times as long others take."""
    rows, head = [], ["what varies", "genophen"]
    for table in json.loads(POPULATION.read_text(encoding="utf-8"))["tables"]:
        own, *others = table["rows"]
        head[2:] = [row["name"] for row in others]
        ratios = [f"{row['ratio']:.1f} ({row['low']:.1f} to {row['high']:.1f})" for row in others]
        what = table["title"].split(": ")[1].removesuffix(" vary")
        rows.append([what, f"{1000 * own['seconds']:.1f} ms", *ratios])
    return _table(head, rows)


def _by_gradient(trial: Line) -> bool:
    return any(key.endswith(".learning_rate") for key in trial["settings"])


def _settings(trials: Sequence[Line], columns: dict[str, str]) -> list[str]:
    """What the trials were run with, a cell a column: every value that occurs."""
    cells = []
    for end in columns.values():
        values = [v for trial in trials for k, v in trial["settings"].items() if f".{k}".endswith(end)]
        cells.append(_list(sorted(dict.fromkeys(values), key=lambda value: (str(type(value)), value))))
    return cells


def _accuracy(line: Line | None) -> str:
    """A mean over seeds, its standard deviation and how many seeds there are."""
    if line is None:
        return "not run"
    values = [trial["test_accuracy"] for trial in line["trials"]]
    spread = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2%}{spread} (n = {len(values)})"


def _list(values: Iterable[Any]) -> str:
    shown = [{True: "yes", False: "no"}.get(v, "") if isinstance(v, bool) else str(v) for v in values]
    return ", ".join(shown)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def double_pole_table() -> str:
    """Evaluations to success of each row that has been run."""
    return as_table(read("double_pole"))


def classic_control_table() -> str:
    """Evaluations to the mark of each row that has been run."""
    return as_table(read("classic_control"))


def evotorch_control_table() -> str:
    """The same of evotorch's own search, on the same networks."""
    rows = []
    for line in read("classic_control_evotorch"):
        runs = line["trials"]
        spent = [each["evaluations"] for each in runs]
        with_tests = [each["evaluations"] + each["test_episodes"] for each in runs]
        solved = f"{sum(each['solved'] for each in runs)} of {len(runs)}"
        means = [f"{fmean(spent):,.0f}", f"{max(spent):,}", f"{fmean(with_tests):,.0f}"]
        score = f"{fmean(each['test_return'] for each in runs):.1f}"
        rows.append([line["model"], solved, str(runs[0]["genes"]), *means, score])
    head = ["evotorch's CMA-ES", "Solved", "Genes", "Evaluations, mean", "Most", "With tests, mean"]
    return _table([*head, "Test return, mean"], rows)


def shakespeare_table() -> str:
    """Bits per character of each network, and the difference to the LSTM with the same seeds."""
    lines = {line["model"]: line for line in read("shakespeare")}
    rows = []
    for model, line in lines.items():
        bits = [trial[BITS] for trial in line["trials"]]
        spread = f" ± {stdev(bits):.3f}" if len(bits) > 1 else ""
        beside = "" if model == "LSTM" else _mean_difference(differences(line, lines["LSTM"], BITS), 3)
        test = f"{fmean(bits):.3f}{spread} (n = {len(bits)})"
        rows.append([model, f"{line['total_parameters']:,}", test, beside])
    return _table(["network", "total parameters", "bits per character", "above the LSTM"], rows)


def sequences_table() -> str:
    """Tasks of generated sequences: each seed's test accuracy, and what a run cost."""
    rows = []
    for name in ("unknown_delay", "associative_retrieval"):
        for line in read(name):
            found = ", ".join(f"{trial['test_accuracy']:.2%}" for trial in line["trials"])
            evaluations = fmean(trial["sample_evaluations"] for trial in line["trials"])
            backward = fmean(trial["backward_samples"] for trial in line["trials"])
            counts = [f"{count:,.0f}" for count in (line["total_parameters"], evaluations, backward)]
            rows.append([name, line["model"], *counts, found])
    head = ["file", "row", "parameters", "sample evaluations", "backward passes among them", "test accuracy"]
    return _table(head, rows)


WRITERS: dict[str, Callable[[], str]] = {
    "double-pole": double_pole_table,
    "classic-control": classic_control_table,
    "evotorch-control": evotorch_control_table,
    "settings": settings_table,
    "search": search_table,
    "report": report_table,
    "learning-rates": learning_rates_table,
    "ablation": ablation_table,
    "evolution": evolution_table,
    "baselines": baselines_table,
    "digits": digits_table,
    "encodings": encodings_table,
    "population": population_table,
    "sequences": sequences_table,
    "shakespeare": shakespeare_table,
}


def renewed(page: str) -> str:
    """The page with every table written anew."""
    pattern = re.compile(r"(<!-- table ([a-z-]+) -->\n).*?(<!-- end -->)", re.S)
    return pattern.sub(lambda found: f"{found[1]}\n{WRITERS[found[2]]()}\n\n{found[3]}", page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

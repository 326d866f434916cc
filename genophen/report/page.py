"""The report: one HTML page over runs and sweeps, which holds all that it shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup

from genophen import __version__
from genophen.compare.predictions import EvaluationPlace, trained_experiment
from genophen.contracts.optimizer import Optimizer
from genophen.contracts.task import Task
from genophen.data.classification import Classification
from genophen.errors import GenophenError, printable
from genophen.plugins.registry import Plugins
from genophen.report.collection import Collection, read_collection, reason_of
from genophen.report.episode_svg import described, draw_episode
from genophen.report.growth_figure import draw_growth
from genophen.report.headline import about, commands
from genophen.report.learning_curves import MAX_TOGETHER, draw_curves, line_styles
from genophen.report.mistakes import read_mistakes
from genophen.report.pareto import draw_pareto, pareto_front, points_of
from genophen.report.part import Part
from genophen.report.repeating import again, differing_settings, environments, plugins_used, quoted
from genophen.report.reported import ReportGroup, ReportRun, Source
from genophen.report.sequence_parts import is_dynamic, states_part, text_part
from genophen.report.svg import COLOURS, colour, key
from genophen.report.trained_weights import draw_embeddings, draw_kernels_figure, read_trained
from genophen.storage.files import write_file, writing
from genophen.storage.rundir import RunDirectory
from genophen.training.generating import recorded_symbols
from genophen.training.preparing import Notify

#: Kernels that are drawn beside each other: the best run of so many genotypes.
MAX_KERNELS = 8

#: A run, and the group that it is in.
RunInGroup = tuple[ReportGroup, ReportRun]


@dataclass(frozen=True)
class PageOptions:
    """What a page is to have."""

    #: Confusion matrix and worst images, which need the data.
    images: bool = True
    place: EvaluationPlace = field(default_factory=EvaluationPlace)
    #: Seconds after which the page reloads itself, and then lacks what needs the networks; 0: it does not.
    refresh: int = 0


@dataclass(frozen=True)
class Episode:
    picture: Markup
    end: str
    words: str


@dataclass(frozen=True)
class Best:
    run: ReportRun
    group: ReportGroup


def write_report(
    directories: Sequence[Path], target: Path, plugins: Plugins, options: PageOptions, notify: Notify
) -> Collection:
    """Write the page over the runs and sweeps in the folders, and give back what it is about.

    Raises:
        GenophenError: where nothing can be shown, and for a file that cannot be written.
    """
    collection = read_collection(directories, plugins)
    for folder, reason in collection.damaged:
        notify(f"left out: {folder}: {reason}")
    page = render(collection, plugins, options, notify)
    with writing(f"the report to {target}", "--out FILE"):
        # A path in it need not be UTF-8: it stands there as it is printed.
        write_file(target, page.encode(errors="backslashreplace"))
    return collection


def render(collection: Collection, plugins: Plugins, options: PageOptions, notify: Notify) -> str:
    """The page as text."""
    templates = Templates(
        loader=PackageLoader("genophen.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    facts = _facts(collection, plugins, options, notify)
    return templates.get_template("report.html").render(facts, mark=key)


def _facts(collection: Collection, plugins: Plugins, options: PageOptions, notify: Notify) -> dict[str, Any]:
    groups, runs = collection.groups, collection.runs
    sources = [
        _of_source(source, number, plugins, options, notify)
        for number, source in enumerate(collection.sources)
    ]
    configs = [again(group) for group in groups if any(run.config for run in group.runs)]
    sweeps = list(dict.fromkeys(quoted(r.sweep / "sweep.toml") for r in runs if r.sweep is not None))
    every_run = [
        (source, group, run) for source in collection.sources for group in source.groups for run in group.runs
    ]
    measures = {source.measure for source in collection.sources}
    facts: dict[str, Any] = {
        "collection": collection,
        "sources": sources,
        "several": len(sources) > 1,
        "measure_title": measures.pop().title if len(measures) == 1 else "score",
        "version": __version__,
        "written": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        "refresh": options.refresh,
        "statuses": Counter(run.status for run in runs).most_common(),
        "about": about(collection),
        "commands": commands(sweeps, configs),
        "ranked": [each for each in every_run if each[2].ranked],
        "unranked": [each for each in every_run if not each[2].ranked],
        "sweeps": sweeps,
        "again": configs,
        "environment": environments(runs),
        "plugins": plugins_used(runs),
    }
    facts["contents"] = _contents(facts)
    return facts


def _of_source(
    source: Source, number: int, plugins: Plugins, options: PageOptions, notify: Notify
) -> dict[str, Any]:
    """What the page shows of the runs on one data set or task; `suffix` sets its anchors apart."""
    groups, measure = source.groups, source.measure
    runs = [(group, run) for group in groups for run in group.runs]
    best = next((Best(run, group) for group, run in runs if run is source.best), None)
    drawn = [group for group in groups if any(run.rows for run in group.runs)]
    curves = draw_curves(groups, measure, _charted(source.runs, plugins))
    facts: dict[str, Any] = {
        "source": source,
        "suffix": f"-{number + 1}" if number else "",
        "measure": measure,
        "best": best,
        "ranking": sorted(
            (g for g in groups if g.ranked),
            key=lambda g: -(-math.inf if g.test_score is None else g.test_score),
        ),
        "any_published": any(group.published.score is not None for group in groups),
        "front": pareto_front(points_of(groups)),
        "pareto": draw_pareto(groups, measure),
        "curves": curves,
        "line_styles": line_styles(groups, len(drawn) <= MAX_TOGETHER) if curves else [],
        "together": len(drawn) <= MAX_TOGETHER,
        "legend": [(g.name, f"{colour(i)} d{i % COLOURS}") for i, g in enumerate(drawn)],
        "differing": differing_settings(groups),
        "kernels": None,
        "embeddings": None,
        "growth": None,
        "mistakes": None,
        "episode": None,
        "text": None,
        "states": None,
    }
    if best is not None and not options.refresh:
        members = _best_of_each_genotype(runs, best)
        facts["kernels"] = _part(lambda: _kernels(members, plugins))
        facts["embeddings"] = _part(lambda: _embeddings(members, plugins))
        facts["growth"] = _part(lambda: _growth(runs, plugins))
        if options.images and issubclass(plugins.get("task", best.run.task).cls, Classification):
            notify(f"evaluating {best.run.directory} on the test images (--no-images leaves it out)")
            facts["mistakes"] = _part(lambda: Part(read_mistakes(best.run, plugins, options.place)))
        if options.images and _has_episodes(plugins.get("task", best.run.task).cls):
            facts["episode"] = _part(lambda: _episode(best.run, plugins, options.place))
        symbols = recorded_symbols(RunDirectory.open(best.run.directory))
        if symbols:
            facts["text"] = _part(lambda: text_part(best.run, plugins))
        if is_dynamic(best.run, plugins) and (symbols or options.images):
            facts["states"] = _part(lambda: states_part(best.run, plugins, options.place, symbols))
    facts["left_out"] = _without_missing(facts)
    return facts


def _without_missing(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Take out the parts that are missing; their names, with why."""
    missing = {name: part for name, part in facts.items() if isinstance(part, Part) and part.figure is None}
    for name in missing:
        facts[name] = None
    return [(name, part.missing) for name, part in missing.items() if part.missing]


def _contents(facts: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each source its name and the sections that the page has of it, anchor and name; then the others."""
    contents: list[tuple[str, list[tuple[str, str]]]] = []
    for source in facts["sources"]:
        sections = [
            ("results", "Results", True),
            ("parameters", f"{source['measure'].title.capitalize()} against parameters", source["pareto"]),
            ("curves", "Learning curves", source["curves"]),
            ("episode", "An episode", source["episode"]),
            ("text", "Text", source["text"]),
            ("states", "Weights over time", source["states"]),
            ("kernels", "Kernels", source["kernels"]),
            ("embeddings", "Embeddings", source["embeddings"]),
            ("growth", "Growth", source["growth"]),
            ("mistakes", "Mistakes", source["mistakes"]),
        ]
        there = [(f"{anchor}{source['suffix']}", name) for anchor, name, there in sections if there]
        contents.append((source["source"].name if facts["several"] else "", there))
    sections = [
        ("runs", "Every run", True),
        ("again", "How to run it again", True),
        ("environment", "What it was run with", facts["environment"]),
    ]
    there = [(anchor, name) for anchor, name, is_there in sections if is_there]
    return [*contents, ("All runs" if facts["several"] else "", there)]


def _part(make: Callable[[], Part]) -> Part:
    """What `make` gives, or the reason why it cannot be had: the rest of the page goes on without it."""
    try:
        return make()
    except GenophenError as error:
        return Part(missing=reason_of(error))


def _has_episodes(task: type[Any]) -> bool:
    return task.playback is not Task.playback


def _episode(run: ReportRun, plugins: Plugins, place: EvaluationPlace) -> Part:
    """One episode of a run's best controller."""
    playback = trained_experiment(run.directory, plugins, place).playback()
    if playback is None:
        return Part(missing="its task shows none")
    return Part(Episode(draw_episode(playback), described(playback), playback.words))


def _best_of_each_genotype(runs: Sequence[RunInGroup], best: Best) -> dict[str, RunInGroup]:
    """Of each genotype that writes into the architecture of the best run, the run that did best."""
    chosen: dict[str, RunInGroup] = {}
    for group, run in sorted(runs, key=lambda member: -member[1].validation_score):
        result = run.result
        if (
            run.ranked
            and result is not None
            and result.architecture == best.run.settings["architecture.name"]
        ):
            chosen.setdefault(result.genotype, (group, run))
    return chosen


def _kernels(members: Mapping[str, RunInGroup], plugins: Plugins) -> Part:
    """The kernels of each genotype, those learned directly first."""
    shown = sorted(members.items(), key=lambda item: not item[1][0].is_direct)[:MAX_KERNELS]
    networks = [read_trained(run.directory, plugins) for _, (_, run) in shown]
    names = [
        genotype if genotype == group.name else f"{genotype}: {group.name}" for genotype, (group, _) in shown
    ]
    titles = [
        f"{name}, {network.phenotype.parameter_counts().kernel:,} kernel parameters"
        for name, network in zip(names, networks, strict=True)
    ]
    figure = draw_kernels_figure(titles, networks, len(members) - len(shown))
    return Part(figure) if figure else Part(missing="the networks have no expressed convolution in common")


def _embeddings(members: Mapping[str, RunInGroup], plugins: Plugins) -> Part:
    """The embeddings of the best run that has enough of them."""
    for group, run in members.values():
        figure = draw_embeddings(read_trained(run.directory, plugins), f"{group.name}, seed {run.seed}")
        if figure is not None:
            return Part(figure)
    return Part(missing="no genotype here has three embeddings or more, and fewer need no projection")


def _growth(runs: Sequence[RunInGroup], plugins: Plugins) -> Part:
    """How the genotype of the best run grew, of those that have one that grows; nothing where none has."""
    for group, run in sorted(runs, key=lambda member: -member[1].validation_score):
        if run.ranked and RunDirectory(run.directory).growth.is_file():
            owner = f"{group.name}, seed {run.seed}"
            return Part(draw_growth(run.directory, owner, plugins))
    return Part()


def _charted(runs: Sequence[ReportRun], plugins: Plugins) -> dict[str, str]:
    """What the optimizers in use want drawn against rounds, by the names in their rows."""
    known = plugins.registered["optimizer"]
    names = dict.fromkeys(run.settings.get("optimizer.name") for run in runs)
    used: list[type[Optimizer]] = [known[name].cls for name in names if name in known]
    return {key: title for cls in used for key, title in cls.charted.items()}

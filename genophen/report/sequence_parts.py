"""The parts of the page about recurrent networks: a text that one writes, and what is carried over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genophen.compare.predictions import EvaluationPlace, trained_experiment
from genophen.config.recorded import config_of
from genophen.contracts.dynamic import DynamicGenotype
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.registry import Plugins
from genophen.report.over_time import STEPS, draw_states, first_sequence
from genophen.report.part import Part
from genophen.report.reported import ReportRun
from genophen.report.trained_weights import read_trained
from genophen.storage.rundir import RunDirectory
from genophen.training.generating import encoded, first_prompt, generated, writer

#: Symbols of the text that is shown, and how it is drawn.
_SAMPLE, _TEMPERATURE = 500, 0.8


@dataclass(frozen=True)
class Sample:
    """A text that a run has written."""

    prompt: str
    text: str


def _sample(phenotype: Phenotype, symbols: Sequence[str], length: int) -> Sample:
    prompt = first_prompt(symbols)
    return Sample(prompt, "".join(generated(phenotype, symbols, prompt, length, _TEMPERATURE, seed=0)))


def text_part(run: ReportRun, plugins: Plugins) -> Part:
    """A text that a run's best network writes."""
    files = RunDirectory.open(run.directory)
    phenotype, symbols, _ = writer(files, config_of(files, plugins), plugins, lambda note: None)
    return Part({"sample": _sample(phenotype, symbols, _SAMPLE), "temperature": _TEMPERATURE})


def is_dynamic(run: ReportRun, plugins: Plugins) -> bool:
    return issubclass(plugins.get("genotype", run.settings["genotype.name"]).cls, DynamicGenotype)


def states_part(run: ReportRun, plugins: Plugins, place: EvaluationPlace, symbols: Sequence[str]) -> Part:
    """What a run's genotype carries over a sentence of its own, or over the first sequence of the test."""
    if symbols:
        phenotype = read_trained(run.directory, plugins).phenotype
        sample = _sample(phenotype, symbols, STEPS)
        read = (sample.prompt + sample.text)[:STEPS]
        traced = draw_states(phenotype, encoded(read, symbols), read)
        over = "a text that the network writes"
    else:
        experiment = trained_experiment(run.directory, plugins, place)
        inputs = first_sequence(experiment)
        if inputs is None:
            return Part(missing="its task runs no sequence")
        traced, over = draw_states(experiment.phenotype, inputs), "the first sequence of the test"
    if not traced:
        return Part(missing="its genotype says of nothing that it is worth a picture")
    return Part({"traced": traced, "over": over})

"""What a task has to do."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from genophen.config.settings import TrainingSettings
from genophen.contracts.options import Options
from genophen.contracts.task import SPLITS, Scores, Task, check_task
from genophen.control.episodic import SimulatedTask
from genophen.errors import ConfigError
from genophen.phenotype.compiling import compile_phenotype
from genophen.phenotype.phenotype import Phenotype
from genophen.population.population import Population
from genophen.testing.copy_genotype import CopyGenotype
from genophen.testing.findings import Findings, check_call, check_class, default_options, require
from genophen.testing.small_data import small_context, small_text
from genophen.testing.world import examine_world

_CANDIDATES = 3


def examine_task(findings: Findings, cls: type[Task], options: Options | None = None) -> None:
    """Set a task up, draw from it, and have it judge a dense layer, whatever its inputs are."""
    with findings.needed("the class has all that a task needs"):
        check_class("task", cls)
    with findings.needed("it can be made without settings"):
        options = default_options(cls, options)
        cls(options)
    with findings.needed("setup() says the shapes, the steps of a round and the measure"):
        check_call(cls(options).setup, "it is given what it may want to know: def setup(self, context)", None)
        task = _ready(cls, options)
    with findings.needed("draw() gives the same where the generator is in the same state"):
        first, second = task.draw(), _ready(cls, options).draw()
        _require_equal(first, second, "draw from context.generator alone")
    with findings.check("a restored task goes on drawing as it would have"):
        state, other = task.state_dict(), _ready(cls, options)
        other.draw()  # so that its generator is where the first one's is
        other.load_state_dict(state)
        _require_equal(task.draw(), other.draw(), "let state_dict() hold all that the next draws depend on")
    if isinstance(task, SimulatedTask):
        examine_world(findings, task)
    phenotype = _dense(task)
    if task.differentiable:
        with findings.check("loss() gives one number, whose gradient reaches the network"):
            _check_loss(task.loss(phenotype, first), phenotype)
    if cls.fitness is not Task.fitness:
        with findings.check("fitness() gives a number for each candidate"):
            _check_fitness(task, phenotype, first)
    with findings.check("evaluate() gives the same scores at each call, on every split"):
        for split in SPLITS:
            with torch.inference_mode():
                scores, again = (task.evaluate(phenotype.eval(), split) for _ in range(2))
            require(isinstance(scores, Scores), "return genophen.Scores(value, loss=...)")
            numbers = [scores.value, *scores.extras.values(), *([] if scores.loss is None else [scores.loss])]
            require(all(map(math.isfinite, numbers)), f"the scores on {split} are not finite: {scores}")
            require(scores == again, "what is measured on has to be the same at each call")
    with findings.check("digest() gives a text, the same for the same data"):
        require(isinstance(task.digest(), str), "return a text that says what is measured on")
        require(task.digest() == _ready(cls, options).digest(), "two set up alike differ in it")


def _ready(cls: type[Task], options: Options) -> Task:
    """The task, set up: over images, or over a text where it takes no images."""
    task, training = cls(options), TrainingSettings(rounds=2, batch_size=16)
    try:
        task.setup(small_context(training))
    except ConfigError:
        task = cls(options)
        task.setup(small_context(training, small_text()))
    check_task(task)
    return task


class _Recurrent(nn.Module):
    """A dense layer of the input and of what was given before."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs + outputs, outputs)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        before = x.new_zeros(len(x), self.dense.out_features) if state is None else state
        outputs = self.dense(torch.cat([x.flatten(1), before], 1)).tanh()
        return outputs, outputs


class _Dense(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.dense(x.flatten(1).to(self.dense.weight.dtype))
        return outputs


def _dense(task: Task) -> Phenotype:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind = _Recurrent if task.recurrent else _Dense
        network = kind(math.prod(task.input_shape), task.num_outputs)
    return compile_phenotype(network, ["dense.weight"], CopyGenotype)


def _require_equal(first: Any, second: Any, advice: str) -> None:
    try:
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    except AssertionError:
        raise AssertionError(f"two batches differ: {advice}") from None


def _check_loss(loss: object, phenotype: Phenotype) -> None:
    require(isinstance(loss, Tensor) and loss.shape == (), "return a tensor of shape ()")
    assert isinstance(loss, Tensor)
    loss.backward()
    reached = [p.grad is not None and bool(p.grad.isfinite().all()) for p in phenotype.parameters()]
    require(all(reached), "no finite gradient arrives: compute it from the phenotype's outputs, by torch")


def _check_fitness(task: Task, phenotype: Phenotype, batch: Any) -> None:
    population = Population(phenotype, phenotype.genes("genotype"))
    draws = torch.Generator().manual_seed(0)
    candidates = torch.randn(_CANDIDATES, population.num_genes, generator=draws)
    fitness = task.fitness(population.networks(candidates), batch)
    found = tuple(fitness.shape) if isinstance(fitness, Tensor) else type(fitness).__name__
    require(found == (_CANDIDATES,), f"{_CANDIDATES} candidates gave {found}: give a tensor (P,)")
    require(bool(fitness.isfinite().all()), f"a candidate's fitness is not finite: {fitness.tolist()}")

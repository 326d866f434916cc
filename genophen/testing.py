"""Contract checks for plugin authors: call them from a test, on your class.

Each raises an AssertionError that says what is wrong and what the contract wants.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from genophen.architecture import Architecture, build_network
from genophen.augmentation import Augmentation
from genophen.batches import EvaluationBatches, Normalization, TrainBatches
from genophen.checkpoint import load_checkpoint, save_checkpoint
from genophen.contract import contract_problem
from genophen.dataset import Data, Dataset, Split, check_data
from genophen.errors import PluginError
from genophen.genotype import Genotype, Target
from genophen.optimizer import Context, Metrics, Optimizer
from genophen.options import Options
from genophen.packing import pack, unpack
from genophen.phenotype import Phenotype, compile_phenotype
from genophen.settings import TrainingSettings


class CopyGenotype(Genotype):
    """Writes the weights that the network was built with; what the checks compile with."""

    name = "copy"
    description = "the network's own weights, as parameters"

    def __init__(self, options: Options, targets: dict[str, Target], generator: torch.Generator) -> None:
        super().__init__()
        self._names = list(targets)
        self.copies = nn.ParameterList(nn.Parameter(target.initial.clone()) for target in targets.values())

    def express(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self.copies, strict=True))

    def genes(self, scope: str) -> list[str]:
        return [name for name, _ in self.named_parameters()]


def check_architecture(cls: type[Architecture], options: Options | None = None) -> None:
    """Build, compile, run, differentiate and materialize an architecture."""
    _check_identity("architecture", cls)
    architecture = cls(options)
    shape, classes = tuple(architecture.input_shape), architecture.num_classes
    _require(len(shape) == 3, f"input_shape is {shape}: give (channels, height, width)")
    network = build_network(architecture, seed=0)
    _require(isinstance(network, nn.Module), f"build() returned {type(network).__name__}, not an nn.Module")
    again = build_network(architecture, seed=0).state_dict()
    for name, tensor in network.state_dict().items():
        _require(
            torch.equal(tensor, again[name]),
            f"{name} differs between two builds with one seed: draw initial values from torch's generator",
        )
    if architecture.readout is not None:
        found = dict(network.named_modules()).get(architecture.readout)
        _require(isinstance(found, nn.Linear), f"readout {architecture.readout!r} names no nn.Linear")
    phenotype = compile_phenotype(network, architecture.expressed(), CopyGenotype)
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    for module in (network, phenotype):
        module.eval()
    plain, compiled = network(images), phenotype(images)
    _require(
        isinstance(plain, Tensor) and tuple(plain.shape) == (2, classes),
        f"two images gave {tuple(getattr(plain, 'shape', ()))}: the contract wants logits (2, {classes})",
    )
    _require(torch.equal(plain, compiled), "the compiled network gives other logits than the network itself")
    _require(
        torch.equal(plain, phenotype.materialize()(images)), "the materialized network gives other logits"
    )
    _require(phenotype(images[:1]).shape == (1, classes), "one image alone does not give logits (1, classes)")
    phenotype.train()
    keys = set(phenotype.state_dict())
    phenotype(images).square().sum().backward()
    _require(set(phenotype.state_dict()) == keys, "a call changes which tensors the network has")
    trained = [(name, p) for name, p in phenotype.named_parameters() if p.requires_grad]
    unused = [name for name, parameter in trained if parameter.grad is None]
    _require(not unused, f"no gradient reaches {', '.join(unused)}: are these layers used in forward()?")


def check_genotype(cls: type[Genotype], options: Options | None = None) -> None:
    """Compile a small network with a genotype, and check what it writes, its draws and its gradients."""
    _check_identity("genotype", cls)
    network = nn.Sequential(
        nn.Conv2d(3, 20, 3, padding=1), nn.ReLU(), nn.Conv2d(20, 24, 1), nn.Flatten(), nn.Linear(24 * 36, 5)
    )
    patterns = ["0.weight", "2.weight", "4.weight"]
    before = torch.random.get_rng_state()
    phenotype = compile_phenotype(network, patterns, cls, options, seed=1)
    _require(
        torch.equal(before, torch.random.get_rng_state()),
        "the global generator was used: draw every initial value from the generator that you are given",
    )
    same = compile_phenotype(network, patterns, cls, options, seed=1)
    other = compile_phenotype(network, patterns, cls, options, seed=2)
    _require(_equal(phenotype.weights(), same.weights()), "two genotypes of one seed express other weights")
    named = dict(phenotype.genotype.named_parameters())
    listed = phenotype.genotype.genes("genotype")
    _require(set(listed) <= set(named), f"genes('genotype') names {set(listed) - set(named)}, no parameters")
    missing = {name for name, parameter in named.items() if parameter.requires_grad} - set(listed)
    _require(not missing, f"genes('genotype') leaves out {', '.join(sorted(missing))}")
    images = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    phenotype(images).square().sum().backward()
    for name in listed:
        _require(named[name].grad is not None, f"no gradient reaches {name}: does express() use it?")
    other.load_state_dict(phenotype.state_dict())
    _require(
        _equal(phenotype.weights(), other.weights()),
        "a loaded state_dict expresses other weights: keep all state in parameters and buffers",
    )


def check_optimizer(cls: type[Optimizer], options: Options | None = None) -> None:
    """Take steps on a small problem, and check that a state restored from a file continues to the bit."""
    _check_identity("optimizer", cls)
    whole = OptimizerTrial(cls, options)
    start = copy.deepcopy(whole.phenotype.state_dict())
    whole.optimizer.finish_round()
    for _ in range(4):
        metrics = whole.step()
        _require(isinstance(metrics, Metrics), f"step() returned {type(metrics).__name__}, not Metrics")
        loss = float(metrics.train_loss)
        for name, value in metrics.extras.items():
            _require(math.isfinite(float(value)), f"extras has {name} = {value} on an easy problem")
        _require(math.isfinite(loss), f"train_loss is {loss} on an easy problem")
    whole.optimizer.finish_round()
    _require(not _equal(start, whole.phenotype.state_dict()), "four steps changed nothing in the phenotype")
    steps = whole.optimizer.steps_per_round
    _require(isinstance(steps, int) and steps >= 1, f"steps_per_round is {steps}: set a whole number from 1")
    first = OptimizerTrial(cls, options)
    for _ in range(2):
        first.step()
    second = OptimizerTrial(cls, options)
    second.restore(_through_checkpoint(first.state()))
    for _ in range(2):
        second.step()
    second.optimizer.finish_round()
    _require(
        _equal(whole.phenotype.state_dict(), second.phenotype.state_dict()),
        "a restored state continues differently: state_dict() must hold all that the next steps depend on",
    )


def check_dataset(cls: type[Dataset], data_dir: Path, options: Options | None = None) -> Data:
    """Load a data set twice, check its splits, and return it."""
    _check_identity("dataset", cls)
    data, again = cls(options).load(data_dir), cls(options).load(data_dir)
    check_data(data, cls.name)
    _require(data.digest() == again.digest(), "two loads give different images or another order")
    return data


class OptimizerTrial:
    """An optimizer on a small network and 64 random images, all seeded."""

    def __init__(
        self, cls: type[Optimizer], options: Options | None = None, genotype: type[Genotype] = CopyGenotype
    ) -> None:
        draws = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=draws)
        labels = torch.randint(0, 3, (64,), generator=draws)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.Sequential(
                nn.Conv2d(1, 4, 3),
                nn.Conv2d(4, 4, 3),
                nn.ReLU(),
                nn.Dropout(0.1),
                nn.Flatten(),
                nn.Linear(64, 3),
            )
        self.phenotype: Phenotype = compile_phenotype(network, ["0.weight"], genotype)
        # As runs on a CPU have it: state that follows a tensor's memory format must keep it.
        self.phenotype.to(memory_format=torch.channels_last)
        normalization = Normalization(torch.full((1, 1, 1), 128.0), torch.full((1, 1, 1), 64.0))
        split = Split(images, labels)
        self.batches = TrainBatches(split, normalization, (1, 8, 8), 16, Augmentation(padding=1), draws)
        self.generator = torch.Generator().manual_seed(1)
        self._global_state = torch.Generator().manual_seed(2).get_state()
        self.optimizer = cls(options)
        self.context = Context(
            phenotype=self.phenotype,
            batches=self.batches,
            train_images=EvaluationBatches(split, normalization, (1, 8, 8), 16),
            readout=None,
            data=Data(split, split, ("a", "b", "c"), validation=split),
            training=TrainingSettings(rounds=2, batch_size=16),
            total_rounds=2,
            generator=self.generator,
        )
        self.optimizer.setup(self.context)

    def step(self) -> Metrics:
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(self._global_state)
            metrics = self.optimizer.step()
            self._global_state = torch.random.get_rng_state()
        return metrics

    def state(self) -> dict[str, Any]:
        return {
            "phenotype": self.phenotype.state_dict(),
            "batches": self.batches.state_dict(),
            "generator": self.generator.get_state(),
            "global": self._global_state,
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.phenotype.load_state_dict(state["phenotype"])
        self.batches.load_state_dict(state["batches"])
        self.generator.set_state(state["generator"])
        self._global_state = state["global"]
        self.optimizer.load_state_dict(state["optimizer"])


def _through_checkpoint(state: dict[str, Any]) -> Any:
    """The state as a checkpoint gives it back."""
    try:
        tensors, packed = pack(state, "state")
    except PluginError as error:
        raise AssertionError(error.text()) from error
    with TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), "state", tensors, {"state": packed})
        loaded, values = load_checkpoint(Path(folder))
    return unpack(loaded, values["state"])


def _check_identity(kind: str, cls: type) -> None:
    problem = contract_problem(kind, cls)
    _require(not problem, problem)
    _require(bool(cls.description), "description is empty: one line of text")  # type: ignore[attr-defined]


def _equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)

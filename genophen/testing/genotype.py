"""What a genotype has to do."""

from __future__ import annotations

import copy
import json

import torch
from torch import Tensor, nn

from genophen.contracts.dynamic import DynamicGenotype
from genophen.contracts.genotype import Genotype, Scope
from genophen.contracts.growing import GrowingGenotype
from genophen.contracts.options import Options
from genophen.errors import ConfigError
from genophen.phenotype.compiling import compile_phenotype
from genophen.phenotype.phenotype import Phenotype
from genophen.testing.dynamic_genotype import examine_steps
from genophen.testing.findings import Findings, check_class, default_options, require
from genophen.testing.one_step import SmallCell

_PATTERNS = ["0.weight", "2.weight", "4.weight"]


def examine_genotype(findings: Findings, cls: type[Genotype], options: Options | None = None) -> None:
    """Compile a small network with a genotype, and check what it writes, its draws and its gradients."""
    with findings.needed("the class has all that a genotype needs"):
        check_class("genotype", cls)
    with findings.needed("every setting has a default"):
        options = default_options(cls, options)
    dynamic = issubclass(cls, DynamicGenotype)
    network, patterns = (SmallCell(), ["weight_*"]) if dynamic else (_convolutions(), _PATTERNS)
    written = "a recurrent cell" if dynamic else "two convolutions and a dense layer"
    before = torch.random.get_rng_state()
    with findings.needed(f"it writes {written} in their shapes"):
        phenotype = compile_phenotype(network, patterns, cls, options, seed=1)
        _check_weights(phenotype)
    with findings.check("initial values are drawn from the generator that it is given"):
        require(
            torch.equal(before, torch.random.get_rng_state()),
            "the global generator was used: torch.randn(..., generator=generator), and nn.init likewise",
        )
        same = compile_phenotype(network, patterns, cls, options, seed=1)
        require(
            equal(phenotype.weights(), same.weights()),
            "two genotypes of one seed express other weights: draw from the generator, not from numpy, "
            "random or the clock",
        )
    with findings.check("express() gives the same weights at each call"):
        first = {name: weight.clone() for name, weight in phenotype.genotype.eval().express().items()}
        require(
            equal(first, phenotype.genotype.express()),
            "two calls in eval mode give other weights: keep no state between calls, and draw no noise",
        )
    with findings.check("genes() names its parameters"):
        _check_genes(phenotype)
    if issubclass(cls, DynamicGenotype):
        examine_steps(findings, cls, options)
    else:
        with findings.check("gradients reach every gene"):
            _check_gradients(phenotype)
    with findings.check("its state can be saved, loaded and copied"):
        other = compile_phenotype(network, patterns, cls, options, seed=2)
        other.load_state_dict(phenotype.state_dict())
        advice = "keep all state in nn.Parameter and register_buffer"
        require(
            equal(phenotype.weights(), other.weights()),
            f"a loaded state_dict expresses other weights: {advice}",
        )
        copied = copy.deepcopy(phenotype.genotype)
        require(
            equal(phenotype.genotype.express(), copied.express()), f"a copy expresses other weights: {advice}"
        )
    if isinstance(phenotype.genotype, GrowingGenotype):
        with findings.check("its structure is plain data that it takes over, and can be drawn"):
            _check_structure(phenotype.genotype)


def _convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 20, 3, padding=1), nn.ReLU(), nn.Conv2d(20, 24, 1), nn.Flatten(), nn.Linear(24 * 36, 5)
    )


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether two dicts hold the same tensors."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def _check_weights(phenotype: Phenotype) -> None:
    for name, weight in phenotype.weights().items():
        dtype = phenotype.targets[name].initial.dtype
        require(weight.dtype == dtype, f"{name} is {weight.dtype}: write {dtype}, the type of target.initial")
        require(bool(weight.isfinite().all()), f"{name} is not finite: look at initial values and divisions")


def _check_genes(phenotype: Phenotype) -> None:
    genotype = phenotype.genotype
    named = dict(genotype.named_parameters())
    require(
        bool(named),
        "it has no parameters: make them nn.Parameter, in nn.ParameterList or nn.ParameterDict where there "
        "are many (a plain list or dict hides them)",
    )
    listed = genotype.genes("genotype")
    unknown = sorted(set(listed) - set(named))
    require(
        not unknown,
        f"genes('genotype') names {', '.join(unknown)}, no parameters; it has {', '.join(named)}",
    )
    missing = sorted({name for name, p in named.items() if p.requires_grad} - set(listed))
    require(not missing, f"genes('genotype') leaves out {', '.join(missing)}: it names every parameter")
    embeddings, generator = (_scope(genotype, scope) for scope in ("embeddings", "generator"))
    if both := sorted(embeddings & generator):
        raise AssertionError(
            f"genes() gives {', '.join(both)} for 'embeddings' and for 'generator': a parameter is in one of "
            "them, and genophen.no_genes(self, scope) is raised for a scope without any"
        )
    odd = sorted((embeddings | generator) - set(named))
    require(not odd, f"genes() names {', '.join(odd)}, no parameters; it has {', '.join(named)}")


def _check_structure(genotype: GrowingGenotype) -> None:
    structure = genotype.structure()
    require(
        json.loads(json.dumps(structure)) == structure,
        "structure() is something else after it was written as JSON: numbers, strings, lists and dicts",
    )
    genotype.restructure(structure)
    require(genotype.structure() == structure, "restructure() takes over another structure than it is given")
    drawing = genotype.drawing()
    if drawing is not None:
        places = range(len(drawing.nodes))
        require(
            all(source in places and target in places for source, target, _ in drawing.links),
            f"drawing() has links that join no two of its {len(drawing.nodes)} nodes",
        )


def _scope(genotype: Genotype, scope: Scope) -> set[str]:
    try:
        return set(genotype.genes(scope))
    except ConfigError:
        return set()


def _check_gradients(phenotype: Phenotype) -> None:
    images = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    phenotype.train()
    cut = "without detach(), .data, .item() or torch.no_grad() on the way"
    detached = [
        name
        for name, weight in phenotype.weights().items()
        if not weight.requires_grad and not phenotype.targets[name].is_bias
    ]
    require(
        not detached,
        f"express() gives {', '.join(detached)} detached from every parameter: compute them from "
        f"nn.Parameter, {cut}",
    )
    phenotype(images).square().sum().backward()
    named = dict(phenotype.genotype.named_parameters())
    for name in phenotype.genotype.genes("genotype"):
        require(named[name].grad is not None, f"no gradient reaches {name}: let express() use it, {cut}")

"""What an architecture has to do."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from genophen.contracts.architecture import Architecture, build_network, check_patterns, check_shapes
from genophen.contracts.options import Options
from genophen.phenotype.compiling import compile_phenotype
from genophen.phenotype.phenotype import Phenotype
from genophen.testing.copy_genotype import CopyGenotype
from genophen.testing.findings import Findings, check_call, check_class, default_options, require
from genophen.testing.one_step import OneStep

#: What a task might have, for an architecture that leaves it open.
_INPUT_SHAPE, _NUM_OUTPUTS = (1, 8, 8), 3
_NO_ARGUMENTS = "settings are fields of a nested class Options, read as self.options.NAME"


def examine_architecture(findings: Findings, cls: type[Architecture], options: Options | None = None) -> None:
    """Build, compile, run, differentiate and materialize an architecture."""
    with findings.needed("the class has all that an architecture needs"):
        check_class("architecture", cls)
    with findings.needed("it can be made without settings"):
        architecture = cls(default_options(cls, options))
    with findings.needed("input_shape and num_outputs can be used"):
        check_shapes(architecture)
        architecture.fill_in((4,) if architecture.recurrent else _INPUT_SHAPE, _NUM_OUTPUTS)
        input_shape, num_outputs = architecture.shapes()
    with findings.needed("build() gives a module"):
        check_call(architecture.build, _NO_ARGUMENTS)
        network = build_network(architecture, seed=0)
        kind = type(network).__name__
        require(
            isinstance(network, nn.Module), f"build() returned {kind}, not an nn.Module: return the network"
        )
    with findings.needed("expressed() gives patterns"):
        check_call(architecture.expressed, _NO_ARGUMENTS)
        patterns = architecture.expressed()
        check_patterns(patterns)
        images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    with findings.check("two builds with one seed are equal"):
        _check_builds(network, build_network(architecture, seed=0))
    if architecture.readout is not None:
        with findings.check("readout names a dense layer"):
            _check_readout(network, architecture.readout)
    if architecture.recurrent:  # from here on, its first step
        network, patterns = OneStep(network), [f"network.{pattern}" for pattern in patterns]
    with findings.needed("expressed() names weights that a genotype can write"):
        phenotype = compile_phenotype(network, patterns, CopyGenotype)
    with findings.needed(f"two inputs give outputs (2, {num_outputs})"):
        state = copy.deepcopy(network.state_dict())
        logits = _logits(network, images, num_outputs)
    with findings.check("a call leaves the network and its images as they were"):
        _check_calls(network, images, logits, state)
    with findings.check("an image's logits are the same in any batch"):
        _check_batching(network, images, logits)
    with findings.check("the compiled network gives the same logits"):
        _check_compiled(phenotype.eval(), images, logits)
    with findings.check("training reaches every parameter"):
        _check_training(phenotype, images)


def _check_builds(network: nn.Module, again: nn.Module) -> None:
    require(network is not again, "build() returns one module twice: make a new one at each call")
    other = again.state_dict()
    for name, value in network.state_dict().items():
        require(
            isinstance(value, Tensor),
            f"{name} is a {type(value).__name__}, which checkpoints cannot hold: use parameters and buffers",
        )
        require(
            name in other and torch.equal(value, other[name]),
            f"{name} differs between two builds with one seed: draw initial values with torch's functions "
            "(torch.randn, nn.init), not from numpy, random or the clock",
        )


def _check_readout(network: nn.Module, readout: str) -> None:
    modules = dict(network.named_modules())
    dense = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
    require(
        readout in dense,
        f"readout {readout!r} names no nn.Linear: name one of {', '.join(dense) or '(none)'}",
    )


def _logits(network: nn.Module, images: Tensor, num_outputs: int) -> Tensor:
    try:
        with torch.no_grad():
            logits = network.eval()(images.clone())
    except RuntimeError as error:
        shape = tuple(images.shape[1:])
        advice = "what forward() takes, without the batch; an image is (channels, height, width)"
        error.args = (f"{error}; input_shape is {shape}: give {advice}",)
        raise
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    advice = f"; let the last layer have {num_outputs} outputs"
    if isinstance(logits, Tensor) and logits.dim() == 2 and len(logits) == 2:
        advice += f", or set num_outputs = {logits.shape[1]}"
    require(
        found == (2, num_outputs),
        f"two inputs gave {found}: the contract wants outputs (2, {num_outputs}){advice}",
    )
    assert isinstance(logits, Tensor)
    require(bool(logits.isfinite().all()), "the logits are not finite: look at initial values and divisions")
    sums = logits.sum(1)
    require(
        bool((logits < 0).any()) or not torch.allclose(sums, torch.ones_like(sums), atol=1e-4),
        "each row of the output sums to 1, as probabilities do: leave the softmax out, the loss has its own",
    )
    return logits


def _check_calls(network: nn.Module, images: Tensor, logits: Tensor, state: dict[str, Tensor]) -> None:
    """`state`: the network's before the call that gave `logits`."""
    given = images.clone()
    with torch.no_grad():
        again = network.eval()(given)
    require(
        torch.equal(given, images), "forward() changes the images that it is given: x = x * 2, not x *= 2"
    )
    require(
        torch.equal(logits, again),
        "a second call in eval mode gives other logits: keep no state between calls, and give "
        "F.dropout(x, p, self.training) its third argument",
    )
    left = network.state_dict()
    changed = [name for name in left if name not in state or not torch.equal(left[name], state[name])]
    require(
        not changed,
        f"a call in eval mode changes {', '.join(changed)}: make it in __init__, and change it in training "
        "alone (if self.training)",
    )


def _check_batching(network: nn.Module, images: Tensor, logits: Tensor) -> None:
    with torch.no_grad():
        alone = network.eval()(images[:1].clone())
    require(
        tuple(alone.shape) == (1, logits.shape[1]),
        f"one image alone gave {tuple(alone.shape)}: keep the first axis, as nn.Flatten() does",
    )
    require(
        torch.allclose(alone, logits[:1], rtol=1e-3, atol=1e-4),
        "an image's logits depend on the other images of its batch: flatten from axis 1, and let batch norm "
        "use its running statistics in eval mode",
    )


def _check_compiled(phenotype: Phenotype, images: Tensor, logits: Tensor) -> None:
    advice = "read weights as attributes (self.conv.weight) in forward(), and keep no copies of them"
    with torch.no_grad():
        compiled, plain = phenotype(images.clone()), phenotype.materialize()(images.clone())
    require(torch.equal(logits, compiled), f"the compiled network gives other logits: {advice}")
    require(torch.equal(logits, plain), f"the materialized network gives other logits: {advice}")


def _check_training(phenotype: Phenotype, images: Tensor) -> None:
    phenotype.train()
    keys = set(phenotype.state_dict())
    phenotype(images.clone()).square().sum().backward()
    require(
        set(phenotype.state_dict()) == keys,
        "a call changes which tensors the network has: make parameters and buffers in __init__",
    )
    trained = dict(phenotype.network.named_parameters())
    trained |= zip(phenotype.targets, phenotype.genotype.parameters(), strict=True)
    unused = [
        name for name, parameter in trained.items() if parameter.requires_grad and parameter.grad is None
    ]
    require(
        not unused,
        f"no gradient reaches {', '.join(unused)}: use these layers in forward(), as self.NAME(x) or "
        "self.NAME.weight, without detach() or torch.no_grad(), or leave them out",
    )

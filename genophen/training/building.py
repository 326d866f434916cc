"""The network that a config describes, on the weights of its genotype."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from genophen.config.config import Config
from genophen.contracts.architecture import Architecture, build_network, check_patterns, check_shapes
from genophen.contracts.optimizer import Optimizer
from genophen.errors import PluginError
from genophen.phenotype.compiling import compile_phenotype
from genophen.phenotype.gabor import initialize_gabor
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.isolation import cause
from genophen.plugins.registry import Plugins
from genophen.training.seeds import derive_seed


def make_architecture(config: Config, plugins: Plugins) -> Architecture:
    """The architecture with its settings; nothing is built yet."""
    with plugins.blame("architecture", config.architecture.name):
        architecture: Architecture = plugins.get("architecture", config.architecture.name).cls(
            config.architecture.options
        )
        check_shapes(architecture)
    return architecture


def build(config: Config, plugins: Plugins, architecture: Architecture) -> Phenotype:
    """The compiled phenotype, on the CPU, of an architecture whose shapes are known.

    Raises:
        PluginError: where the code of the architecture or the genotype raises, with what it said.
    """
    name, seed = config.architecture.name, config.training.seed
    with plugins.blame("architecture", name):
        network = build_network(architecture, derive_seed(seed, "network"))
        patterns = architecture.expressed()
        check_patterns(patterns)
    if not isinstance(network, nn.Module):
        raise PluginError(
            f"cannot build the architecture {name}",
            found=f"build() returned {type(network).__name__}",
            allowed="a torch.nn.Module",
        )
    genotype = plugins.get("genotype", config.genotype.name).cls
    with plugins.blame("genotype", config.genotype.name):
        phenotype = compile_phenotype(
            network,
            patterns,
            genotype,
            config.genotype.options,
            seed=derive_seed(seed, "genotype"),
            input_shape=architecture.input_shape,
        )
    if config.training.direct_initialization == "gabor":
        initialize_gabor(phenotype.network, architecture.shapes()[0][0])
    _check_state(phenotype)
    return phenotype


def _check_state(phenotype: Phenotype) -> None:
    """Refuse state that a checkpoint cannot hold, before any training."""
    for name, value in phenotype.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise PluginError(
                "cannot keep the network's state in checkpoints",
                found=f"{name} is a {type(value).__name__}",
                allowed="parameters and buffers (no get_extra_state)",
            )


def check_gradients(config: Config, plugins: Plugins, phenotype: Phenotype) -> None:
    """Raise a PluginError where the optimizer takes gradients that do not reach the genotype."""
    optimizer: type[Optimizer] = plugins.get("optimizer", config.optimizer.name).cls
    with plugins.blame("genotype", config.genotype.name):
        problem = phenotype.detached() if optimizer.needs_gradients else ""
    if problem:
        raise PluginError(
            f"cannot train the genotype {config.genotype.name} with {config.optimizer.name}",
            found=problem,
            allowed="tensors computed from its nn.Parameters, without detach(), .data or torch.no_grad()",
            next_step=f"`genophen plugins check {config.genotype.name}` says more; an optimizer that needs "
            "no gradients, such as cma-es, can search it as it is",
        )


def choose_memory_format(
    config: Config, architecture: Architecture, phenotype: Phenotype, example: Tensor
) -> torch.memory_format:
    """Bring the phenotype into the memory format that the config asks for, and check that it runs.

    `example` are inputs of no meaning (see `Task.example`).
    """
    wanted, name = config.training.memory_format, config.architecture.name
    if wanted == "channels-last" or (wanted == "auto" and _device(phenotype).type == "cpu"):
        try:
            phenotype.to(memory_format=torch.channels_last)
            check_output(architecture, phenotype, name, example, torch.channels_last)
            return torch.channels_last
        except (PluginError, RuntimeError):
            # Code such as x.view(len(x), -1) takes contiguous activations alone.
            if wanted == "channels-last":
                raise
            phenotype.to(memory_format=torch.contiguous_format)
    check_output(architecture, phenotype, name, example)
    return torch.contiguous_format


def check_output(
    architecture: Architecture,
    phenotype: Phenotype,
    name: str,
    example: Tensor,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> None:
    """Run two blank inputs through, so that a network that cannot run fails before any training."""
    input_shape, num_outputs = architecture.shapes()
    inputs = example.to(_device(phenotype))
    if inputs.dim() == 4:
        inputs = inputs.to(memory_format=memory_format)
    trial = copy.deepcopy(phenotype)  # so that no batch norm sees the blank inputs
    attempted = f"cannot run the architecture {name} on inputs of shape {input_shape}"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            trial.train()(inputs)
            outputs = trial.eval()(inputs)
            if architecture.recurrent and isinstance(outputs, tuple):
                outputs = outputs[0]
        except (Exception, SystemExit) as error:
            raise PluginError(
                attempted,
                found=f"it raised {cause(error)}",
                next_step=f"genophen plugins check {name} shows where; --plugin FILE.py for a file",
            ) from error
    if isinstance(outputs, tuple) and outputs:  # of a recurrent network: the state stands beside it
        outputs = outputs[0]
    expected = (len(inputs), num_outputs)
    if not isinstance(outputs, torch.Tensor) or tuple(outputs.shape) != expected:
        found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise PluginError(attempted, found=f"two inputs gave {found}", allowed=f"outputs of shape {expected}")


def _device(phenotype: Phenotype) -> torch.device:
    return next(iter(phenotype.state_dict().values())).device

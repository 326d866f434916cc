"""From a network and a genotype class to a phenotype."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from genophen.contracts.genotype import Genotype, Target
from genophen.contracts.options import Options
from genophen.errors import ConfigError
from genophen.phenotype.phenotype import Phenotype
from genophen.phenotype.positions import with_positions
from genophen.phenotype.residual import Residual
from genophen.phenotype.targets import find_targets
from genophen.phenotype.written import check_written, held_at_zero


def compile_phenotype(
    network: nn.Module,
    expressed: Sequence[str],
    genotype: type[Genotype] | partial[Residual],
    options: Options | None = None,
    *,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    keep_biases: bool = False,
) -> Phenotype:
    """Compile a network and a genotype class into a phenotype. The network itself is left as it is.

    With the `input_shape` (C, H, W) of one image, dense targets say which positions their inputs have. With
    `keep_biases` the biases that the genotype would hold at zero stay the network's own.

    Raises:
        ConfigError: for patterns that select nothing, or nothing that can be expressed.
        PluginError: for a genotype that does not write what it was asked to.
    """
    if not isinstance(network, nn.Module):
        raise ConfigError(
            "cannot compile the network", found=f"a {type(network).__name__}", allowed="a torch.nn.Module"
        )
    targets = find_targets(network, expressed)
    if input_shape is not None:
        targets = with_positions(network, targets, input_shape)
    if options is None and isinstance(genotype, type):
        options = genotype.Options()
    written_by = _make(genotype, options, targets, seed)
    if keep_biases and (held := held_at_zero(written_by, targets)):
        targets = {name: target for name, target in targets.items() if name not in held}
        written_by = _make(genotype, options, targets, seed)
    return Phenotype(copy.deepcopy(network), written_by, targets)


def _make(
    genotype: type[Genotype] | partial[Residual], options: Any, targets: dict[str, Target], seed: int
) -> Genotype:
    """A genotype for the targets, on their device and in their precision, that writes them."""
    made = genotype(options, targets, torch.Generator().manual_seed(seed))
    like = next(iter(targets.values())).initial
    with torch.no_grad():
        check_written(made, made.express(), targets)
    return made.to(like.device, like.dtype)

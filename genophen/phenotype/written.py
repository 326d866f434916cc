"""What a genotype has written, beside the targets that it was given."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genophen.contracts.dynamic import DynamicGenotype
from genophen.contracts.genotype import Genotype, Target
from genophen.errors import PluginError, listed


def check_written(genotype: Genotype, written: object, targets: Mapping[str, Target]) -> None:
    """Raise a PluginError where the tensors written are not the targets."""
    attempted = f"cannot compile with the genotype {genotype.name}"
    kinds = {type(value).__name__ for value in written.values()} if isinstance(written, dict) else set()
    if not isinstance(written, dict) or not all(isinstance(tensor, Tensor) for tensor in written.values()):
        raise PluginError(
            attempted,
            found=f"express() returned {type(written).__name__} of {listed(kinds)}",
            allowed="a dict of tensors by target name",
        )
    if unknown := sorted(set(written) - set(targets)):
        raise PluginError(
            attempted, found=f"it wrote {unknown[0]!r}, which is no target", allowed=", ".join(targets)
        )
    for name, target in targets.items():
        if name not in written:
            if target.is_bias:
                continue
            raise PluginError(
                attempted,
                found=f"it wrote nothing for {name!r}",
                allowed="express() writes every weight target",
            )
        if tuple(written[name].shape) != target.shape:
            raise PluginError(
                attempted,
                found=f"it wrote shape {tuple(written[name].shape)} for {name!r}",
                allowed=str(target.shape),
            )


def held_at_zero(genotype: Genotype, targets: Mapping[str, Target]) -> list[str]:
    """Names of the biases that a genotype writes as constant zeros."""
    with torch.enable_grad():
        written = genotype.express()
    biases = [name for name, target in targets.items() if target.is_bias and name in written]
    return [n for n in biases if not written[n].requires_grad and not written[n].count_nonzero()]


def detached(genotype: Genotype) -> str:
    """In words, that no gradient reaches a genotype from what it writes; empty where one does, or cannot.

    A dynamic genotype is not asked: it writes as the network runs.
    """
    parameters = [parameter for parameter in genotype.parameters() if parameter.requires_grad]
    if not parameters or isinstance(genotype, DynamicGenotype):
        return ""
    with torch.enable_grad():
        written = genotype.express()
    if any(tensor.requires_grad for tensor in written.values()):
        return ""
    return (
        f"{genotype.name} writes tensors that are detached from all of its parameters, so that gradients do "
        "not train it"
    )

"""Fitting a genotype to weights that there are: those that the main network was built or loaded with."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from genophen.errors import ConfigError, PluginError, listed
from genophen.phenotype.phenotype import Phenotype


def fit(phenotype: Phenotype, *, steps: int = 1000, learning_rate: float = 0.01) -> dict[str, float]:
    """Bring what the genotype writes near the weights that the network was compiled with.

    Adam, its rate falling to zero as half a cosine, on the share of variance that is not explained, averaged
    over all numbers that are written. Direct parameters and modes stay as they are; nothing is counted.
    Standardised kernels have a scale of their own: compile with `normalization="none"` for this.

    Returns:
        How much of the variance of each target is explained, by name: 1 is all of it, 0 what the mean of
        the target explains; less than 0 is worse than that. Of a constant target, of its mean square.

    Raises:
        ConfigError: for numbers of steps and rates that there are not.
        PluginError: for a genotype whose weights do not depend on its parameters.
    """
    if not isinstance(phenotype, Phenotype):
        raise ConfigError(
            "cannot fit the genotype",
            found=f"{type(phenotype).__name__}, which has none",
            allowed="a phenotype",
            next_step="genophen.compile(network, patterns, normalization='none') gives one",
        )
    if steps < 1 or not 0 < learning_rate < math.inf:
        raise ConfigError(
            "cannot fit the genotype",
            found=f"steps={steps}, learning_rate={learning_rate}",
            allowed="at least one step, a rate above 0",
        )
    parameters = [parameter for parameter in phenotype.genotype.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    sizes = {name: target.initial.numel() for name, target in phenotype.targets.items()}
    with torch.enable_grad():
        for _ in range(steps):
            shares = _unexplained(phenotype)
            loss = torch.stack([sizes[name] * share for name, share in shares.items()]).sum()
            if not loss.requires_grad:
                raise PluginError(
                    "cannot fit the genotype",
                    found=f"{phenotype.genotype.name} writes weights that its parameters do not change",
                    allowed="express() computes them from nn.Parameter, without detach()",
                )
            optimizer.zero_grad()
            (loss / sum(sizes.values())).backward()
            optimizer.step()
            schedule.step()
        optimizer.zero_grad()
    with torch.no_grad():
        explained = {name: 1 - float(share) for name, share in _unexplained(phenotype).items()}
    if worse := [name for name, share in explained.items() if share < 0]:
        warnings.warn(
            f"the fit explains less than nothing of {listed(worse)}: take more steps, or, where the genotype "
            "writes standardised kernels, which have a scale of their own, normalization='none'",
            stacklevel=2,
        )
    return explained


def _unexplained(phenotype: Phenotype) -> dict[str, Tensor]:
    """The share of each target's variance that is not explained, by name, with gradients."""
    written = phenotype.genotype.express()
    return {
        name: _share(written[name], target.initial.to(written[name]))
        for name, target in phenotype.targets.items()
    }


def _share(written: Tensor, initial: Tensor) -> Tensor:
    """Squared differences to the initial values over those of their mean, or of zero where they are equal."""
    about_mean = (initial - initial.mean()).square().sum()
    squares = torch.where(about_mean > 0, about_mean, initial.square().sum())
    return (written - initial).square().sum() / squares.clamp_min(torch.finfo(initial.dtype).tiny)

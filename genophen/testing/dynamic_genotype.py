"""What a genotype that writes weights at every step has to do, beside what any genotype has to."""

from __future__ import annotations

import torch
from torch import Tensor

from genophen.contracts.dynamic import DynamicGenotype
from genophen.contracts.options import Options
from genophen.phenotype.compiling import compile_phenotype
from genophen.phenotype.phenotype import Phenotype
from genophen.testing.findings import Findings, require
from genophen.testing.one_step import SmallCell


def examine_steps(findings: Findings, cls: type[DynamicGenotype], options: Options | None) -> None:
    """Run a small cell on a dynamic genotype, and check its state and its gradients."""
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    with findings.needed("it writes a recurrent cell at every step"):
        phenotype = compile_phenotype(SmallCell(), ["weight_*"], cls, options, seed=1).eval()
        outputs, _ = phenotype.sequence(x)
        require(bool(outputs.isfinite().all()), "the outputs are not finite: look at initial values")
    with findings.check("what it carries goes on"):
        first, state = phenotype.sequence(x[:, :2])
        second, _ = phenotype.sequence(x[:, 2:], state)
        _require_close(
            torch.cat([first, second], 1),
            outputs,
            "a sequence in two parts gives other outputs: keep what goes on in the state that express_at() "
            "returns, not in the genotype",
        )
    with findings.check("a sequence's outputs are the same in any batch"):
        _require_close(
            phenotype.sequence(x[:1])[0],
            outputs[:1],
            "a sequence's outputs depend on the others of its batch: each sample has a state of its own",
        )
    with findings.check("gradients reach every gene through time"):
        _check_gradients(phenotype.train(), x)


def _require_close(found: Tensor, expected: Tensor, words: str) -> None:
    require(torch.allclose(found, expected, rtol=1e-4, atol=1e-5), words)


def _check_gradients(phenotype: Phenotype, x: Tensor) -> None:
    phenotype.sequence(x)[0].square().sum().backward()
    named = dict(phenotype.genotype.named_parameters())
    for name in phenotype.genotype.genes("genotype"):
        require(
            named[name].grad is not None,
            f"no gradient reaches {name}: let express_at() use it, without detach() or torch.no_grad()",
        )

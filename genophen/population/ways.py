"""How the candidates of one network are computed: together, over a mapped axis, or one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from genophen.population.alone import Measured, largest_difference, one_by_one
from genophen.population.graph import CandidateGraph
from genophen.population.inputs import Inputs
from genophen.population.nested import CannotFoldError, Varying, items, joined
from genophen.population.plan import Kernels, Plan
from genophen.population.vectorized import vectorized

#: Numbers in an operation's result below which calling it takes longer than computing it.
SMALL = 2**14
#: What the network itself raises on made-up inputs, or operations on stacked tensors that do not fit them.
FAILURES = (CannotFoldError, RuntimeError, TypeError, ValueError, IndexError, AttributeError, UserWarning)


@dataclass(frozen=True)
class Way:
    """How candidates run in one case, found on made-up ones.

    It depends on no search's numbers and on no clock: an interrupted run that goes on computes as it would
    have, to the bit.
    """

    kind: Literal["folded", "mapped", "one by one"]
    #: Why not folded; empty where it is.
    reason: str
    #: Whether some of a batch's examples give the same by themselves.
    cuttable: bool
    #: Numbers in the largest tensor of one example and candidate.
    largest: float
    plan: Plan | None = None


class MadeUpCase:
    """Two made-up candidates, near the network's own values, on made-up inputs, and what each gives.

    A search's own ones may be not finite, and differ where an interrupted run goes on: folded or not, outputs
    are the same to rounding, not to the bit.
    """

    def __init__(self, network: nn.Module, names: frozenset[str], inputs: Inputs, before: str | None) -> None:
        """`names` of the parameters that vary; `before`: the module whose input is wanted, or None."""
        self._network, self._before = network, before
        draws = torch.Generator().manual_seed(0)
        self._parameters = _made_up(network, names, draws)
        self._parts, self.cuttable = [slice(None)], False
        if inputs.alike:
            try:
                self._run(inputs.made_up(4, draws))
                # One example is a part, since some networks take its axis away.
                self._parts = [slice(0, 1), slice(1, 4)]
                alone = [self._alone(self.inputs.cut(part)) for part in self._parts]
                self.cuttable = self._equals(joined(alone, 1))
            except FAILURES:
                pass  # the first axis is no batch's: all of the inputs then, or the network's own error
        if not self.cuttable:
            self._parts = [slice(None)]
            self._run(inputs.made_up(None, draws))

    def _run(self, inputs: Inputs) -> None:
        self.inputs = inputs
        with Measured() as measured:
            self._expected = self._alone(inputs)
        #: Numbers in the largest tensor of one example, and in an operation's result on average.
        self.largest = measured.largest / inputs.examples
        self.mean = measured.numbers / max(1, measured.operations) / inputs.examples

    def plan(self, graph: CandidateGraph) -> Plan | None:
        """A plan from the trace; None where it gives other numbers, which no batch's parts may change.

        Raises:
            CannotFoldError: and others, where operations trip over stacked tensors.
        """
        own = [isinstance(item, Varying) for item in self.inputs.tensors]
        plan = Plan(graph, frozenset(self._parameters), own, self._before)
        found = []
        for part in self._parts:
            cut, kernels = self.inputs.cut(part), Kernels(self._parameters)
            shared = plan.run_shared(cut.tensors, kernels, cut.examples)
            found.append(plan.run(shared, cut.tensors, kernels, slice(None), 2, cut.examples))
        plan.is_tried()
        return plan if self._equals(joined(found, 1)) else None

    def vectorizes(self) -> bool:
        """Whether `torch.vmap` gives the same."""
        try:
            return self._equals(
                vectorized(self._network, self._parameters, self.inputs.value, 2, self._before)
            )
        except FAILURES:
            return False

    def _alone(self, inputs: Inputs) -> Any:
        return one_by_one(self._network, self._parameters, inputs.value, 2, self._before)

    def _equals(self, found: Any) -> bool:
        exact = precision_of(self._network) in (torch.float32, torch.float64)
        same = len(items(found)) == len(items(self._expected))
        return same and largest_difference(found, self._expected) <= (1e-4 if exact else 0.05)


def find_way(
    network: nn.Module,
    graphs: dict[str, CandidateGraph],
    names: frozenset[str],
    inputs: Inputs,
    before: str | None,
) -> Way:
    """How candidates run: folded where the trace gives what the network gives, else what is faster.

    `graphs` keeps traces by the inputs' structure.
    """
    made_up = MadeUpCase(network, names, inputs, before)
    alone = Way("one by one", "together they give other numbers", made_up.cuttable, made_up.largest)
    try:
        if inputs.structure not in graphs:
            graphs[inputs.structure] = CandidateGraph(network, made_up.inputs.args, made_up.inputs.kwargs)
        if plan := made_up.plan(graphs[inputs.structure]):
            return replace(alone, kind="folded", reason="", plan=plan)
    except FAILURES as error:
        alone = replace(alone, reason=str(error).partition("\n")[0])
    small = made_up.mean * inputs.examples <= SMALL or next(network.parameters()).is_cuda
    return replace(alone, kind="mapped") if small and made_up.vectorizes() else alone


def precision_of(network: nn.Module) -> torch.dtype:
    """Of the network's arithmetic: that of its first parameter."""
    floating = (each.dtype for each in network.parameters() if each.is_floating_point())
    return next(floating, torch.float32)


def _made_up(network: nn.Module, names: frozenset[str], draws: torch.Generator) -> dict[str, Tensor]:
    """Two candidates' parameters, (2, ...) by name."""
    stacks: dict[Tensor, Tensor] = {}  # by the parameter itself: tied ones vary together
    for name in sorted(names):
        value = network.get_parameter(name)
        if value not in stacks:
            noise = torch.randn(2, *value.shape, generator=draws).to(value)
            rms = value.square().mean().sqrt()
            stacks[value] = value + 0.1 * noise * torch.where(rms > 0, rms, 1)
    return {name: stacks[network.get_parameter(name)] for name in sorted(names)}

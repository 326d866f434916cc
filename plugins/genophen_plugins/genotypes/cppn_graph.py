"""A CPPN that can grow: kernels from coordinates by a graph of nodes (HyperNEAT, Stanley et al. 2009).

Each weight is the answer of one graph to where the weight is: layer l, output and input channel o and i, row,
column and distance from the middle of the kernel y, x and r, as in `cppn`. The value of a node is

    f(b + sum_k w_k v_k)

with an activation f of its own and, where it says so, a mean, product, maximum or minimum in the place of the
sum. The optimizer `neat` changes the graph itself; others change its weights and biases. With a second output
(link expression, Verbancsics & Stanley 2011) a weight is zero where that output is not positive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import genophen
from genophen_plugins.genotypes.graph_evaluation import evaluate
from genophen_plugins.genotypes.node_graph import Individual, NodeGraph, layered
from genophen_plugins.genotypes.scaling import scaled

#: Channels, or layers, to one unit of their coordinates before they are scaled, as in `cppn`.
CHANNELS = 8
#: Node values that are kept for the gradient at once: larger kernels are computed in parts.
MAX_VALUES = 2**22


class CPPNGraphOptions(genophen.KernelOptions):
    hidden_nodes: int = Field(
        8,
        ge=0,
        le=1024,
        description="hidden nodes at the start, in one layer: sin, cos, Gaussian and tanh in turns; 0: the "
        "coordinates go to the output",
    )
    leo: bool = Field(False, description="a second output says whether a weight is expressed at all")
    channel_scale: float = Field(
        20.0,
        gt=0,
        le=1e6,
        description="factor of the layer and channel coordinates: the larger, the more the kernels of "
        "neighbouring channels differ",
    )
    spatial_scale: float = Field(
        1.0, gt=0, le=1e6, description="factor of the coordinates within a kernel: the smaller, the smoother"
    )


class CPPNGraph(genophen.GrowingGenotype):
    """Writes the weights of all layers with one graph.

    A dense weight after a flatten is placed by the channel, row and column of the feature map that its input
    is; any other has its input's index for a channel, and y = x = r = 0.
    """

    name = "cppn-graph"
    description = "a graph of nodes, which can grow, that maps a weight's coordinates to its value"
    Options: ClassVar[type[genophen.Options]] = CPPNGraphOptions

    def __init__(
        self, options: CPPNGraphOptions, targets: dict[str, genophen.Target], generator: torch.Generator
    ) -> None:
        super().__init__()
        self._options = options
        self._targets = [target for target in targets.values() if not target.is_bias]
        # l, o, i, y, x, r and, where a kernel has three axes, its depth.
        self.num_inputs = 6 + any(len(target.kernel_shape) > 4 for target in self._targets)
        self.num_outputs = 2 if options.leo else 1
        hidden = [("sin", "cos", "gauss", "tanh")[index % 4] for index in range(options.hidden_nodes)]
        self.graph = layered(self.num_inputs, hidden, self.num_outputs)
        self.weights, self.biases = self._drawn(generator)
        self.conv_biases = genophen.ConvBiases(targets.values(), options.conv_bias)

    def express(self) -> dict[str, Tensor]:
        own = Individual(self.graph, self.weights, self.biases)
        return self.conv_biases() | {name: each[0] for name, each in self.express_all([own]).items()}

    def express_all(self, individuals: Sequence[Individual]) -> dict[str, Tensor]:
        """The weights that graphs write, (P, *shape) by target name."""
        return {target.name: self._written(target, individuals) for target in self._targets}

    def genes(self, scope: str) -> list[str]:
        if scope == "genotype":
            return [name for name, _ in self.named_parameters()]
        if scope == "generator":
            return ["weights", "biases"]
        raise genophen.no_genes(self, scope)

    def structure(self) -> Any:
        return self.graph.plain()

    def restructure(self, structure: Any) -> None:
        graph = NodeGraph.from_plain(structure, self.num_inputs, self.num_outputs)
        empty = [self.weights.new_zeros(len(part)) for part in (graph.connections, graph.nodes)]
        self.become(Individual(graph, *empty))

    def drawing(self) -> genophen.Drawing:
        """Inputs at the left, nodes by level, outputs at the right; the biases are not drawn."""
        graph, levels = self.graph, self.graph.levels()
        last = max(levels) + 1
        names = ["layer", "output", "input", "row", "column", "distance", "depth"][: self.num_inputs]
        nodes = [(name, 0) for name in names]
        answers = dict(zip(graph.outputs, ("weight", "expressed"), strict=False))
        for number, ((activation, aggregation), level) in enumerate(
            zip(graph.nodes, levels, strict=True), self.num_inputs
        ):
            name = activation if aggregation == "sum" else f"{activation} of {aggregation}"
            if number in answers:
                name = f"{answers[number]}: {name}"
            nodes.append((name, last if number in answers else level + 1))
        weights = self.weights.detach().tolist()
        links = [
            (source, target, weight)
            for (source, target), weight in zip(graph.connections, weights, strict=True)
        ]
        return genophen.Drawing(nodes, links)

    def become(self, individual: Individual) -> None:
        """Take another graph, with its weights and biases."""
        self.graph = individual.graph
        # The parameters stay the objects that they are, whatever their shape: optimizers know them by these.
        for parameter, values in ((self.weights, individual.weights), (self.biases, individual.biases)):
            parameter.data, parameter.grad = values.detach().clone().to(parameter), None

    def _drawn(self, generator: torch.Generator) -> tuple[nn.Parameter, nn.Parameter]:
        """Initial weights and biases, as those of `cppn`: sums of variance 1 at the outputs."""
        into_hidden = torch.tensor([target not in self.graph.outputs for _, target in self.graph.connections])
        fan_in = self._options.hidden_nodes or self.num_inputs
        # The squares of these activations are 1/2 on average.
        scale = torch.where(into_hidden, 1.0, math.sqrt(2 / fan_in))
        weights = torch.randn(len(scale), generator=generator) * scale
        biases = (2 * torch.rand(len(self.graph.nodes), generator=generator) - 1) * math.pi
        biases[[output - self.num_inputs for output in self.graph.outputs]] = 0
        return nn.Parameter(weights), nn.Parameter(biases)

    def _written(self, target: genophen.Target, individuals: Sequence[Individual]) -> Tensor:
        rows, columns = self._coordinates(target)
        nodes = max(len(each.graph.nodes) for each in individuals)
        parts = rows.split(max(1, MAX_VALUES // (nodes * columns.shape[1])), dim=1)
        if len(parts) == 1 or not torch.is_grad_enabled():
            answers = torch.cat([evaluate(individuals, part, columns) for part in parts], dim=2)
        else:
            kept = [checkpoint(evaluate, individuals, part, columns, use_reentrant=False) for part in parts]
            answers = torch.cat(kept, dim=2)  # (P, outputs, C_out, C_in kh kw)
        values = answers[:, 0]
        if self._options.leo:
            values = values * (answers[:, 1] > 0)
        standardized = self._options.normalization == "standardized"
        return torch.stack([scaled(target, own, standardized) for own in values])

    def _coordinates(self, target: genophen.Target) -> tuple[Tensor, Tensor]:
        """Coordinates of output channels (I, C_out) and of places behind them (I, C_in numbers).

        Gates are layers between this one and the next.
        """
        c_out, c_in, *size = target.kernel_shape if target.image is None else (target.shape[0], *target.image)
        depth, kh, kw = (1, 1, 1, *size)[-3:]
        rows = self.weights.new_zeros(self.num_inputs, target.gates, c_out // target.gates)
        gates = torch.arange(target.gates).to(rows) / target.gates
        rows[0] = ((target.layer_index + gates) / CHANNELS)[:, None]
        rows[1] = self._axis(rows.shape[2], CHANNELS)
        columns = self.weights.new_zeros(self.num_inputs, c_in, depth, kh, kw)
        columns[2] = self._axis(c_in, CHANNELS)[:, None, None, None]
        columns[3] = self._axis(kh, kh / 2)[:, None]
        columns[4] = self._axis(kw, kw / 2)
        z = self._axis(depth, depth / 2)[:, None, None]
        columns[5] = (columns[3].square() + columns[4].square() + z.square()).sqrt()
        columns[6:] = z
        channel, spatial = self._options.channel_scale, self._options.spatial_scale
        factors = rows.new_tensor([channel] * 3 + [spatial] * (self.num_inputs - 3))[:, None]
        return rows.flatten(1) * factors, columns.flatten(1) * factors

    def _axis(self, size: int, unit: float) -> Tensor:
        """Coordinates of `size` places, `unit` of them to 1, the middle at 0."""
        places = torch.arange(size, dtype=self.weights.dtype, device=self.weights.device)
        return (places - (size - 1) / 2) / unit


@genophen.hookimpl
def register_genotypes(register):  # type: ignore[no-untyped-def]
    register(CPPNGraph)

"""What is drawn from trained weights: kernels side by side, and the embeddings that wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from markupsafe import Markup
from torch import Tensor

from genophen.config.config import Config
from genophen.config.recorded import config_of
from genophen.errors import ConfigError
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.registry import Plugins
from genophen.report.axes import linear_axis
from genophen.report.images import diverging_png
from genophen.report.kernel_figure import MAX_CHANNELS, tile
from genophen.report.svg import FILLED, Chart, Frame, colour
from genophen.storage.rundir import RunDirectory
from genophen.training.trained import best_phenotype


@dataclass(frozen=True)
class Trained:
    """A run's network at its best round, without any data."""

    config: Config
    phenotype: Phenotype

    @property
    def kernels(self) -> dict[str, Tensor]:
        """The expressed convolutions by name."""
        with torch.no_grad():
            weights = self.phenotype.eval().weights()
        return {name: weight.detach() for name, weight in weights.items() if weight.dim() == 4}


def read_trained(directory: Path, plugins: Plugins) -> Trained:
    """A run's network.

    Raises:
        DamagedError: for weights that are not as the run saved them.
    """
    run = RunDirectory.open(directory)
    config = config_of(run, plugins)
    _, phenotype, _ = best_phenotype(run, config, plugins)
    return Trained(config, phenotype)


def common_kernel(networks: Sequence[Trained]) -> str | None:
    """The name of the kernel of which most can be drawn, of those that all have; None where there is none."""
    first = networks[0].kernels
    common = [name for name in first if all(name in other.kernels for other in networks[1:])]
    return max(common, key=lambda name: first[name][:MAX_CHANNELS, :MAX_CHANNELS].numel(), default=None)


@dataclass(frozen=True)
class KernelPicture:
    title: str
    src: str
    #: Its size and the spread of its numbers, in words.
    description: str
    #: What stands under the title.
    note: str


@dataclass(frozen=True)
class KernelsFigure:
    """Kernels on one colour scale, which ends at `limit` to both sides of zero."""

    name: str
    limit: float
    pictures: list[KernelPicture]
    #: Genotypes that there was no room for.
    left_out: int


def draw_kernels_figure(
    titles: Sequence[str], networks: Sequence[Trained], left_out: int
) -> KernelsFigure | None:
    """The kernel that all networks have, side by side; None where there is none."""
    name = common_kernel(networks) if networks else None
    if name is None:
        return None
    weights = [network.kernels[name].float() for network in networks]
    limit = max(float(weight.abs().quantile(0.99)) for weight in weights) or 1.0
    pictures = []
    for title, weight in zip(titles, weights, strict=True):
        c_out, c_in, kh, kw = weight.shape
        description = (
            f"{c_out} by {c_in} filters of {kh} by {kw} numbers, "
            f"mean {float(weight.mean()):.3g}, standard deviation {float(weight.std()):.3g}"
        )
        note = f"standard deviation {float(weight.std()):.3g}"
        pictures.append(KernelPicture(title, diverging_png(tile(weight), limit), description, note))
    return KernelsFigure(name, limit, pictures, left_out)


@dataclass(frozen=True)
class EmbeddingsFigure:
    #: Whose embeddings they are.
    owner: str
    picture: Markup
    #: Name, colour and mark of each layer that embeddings write.
    layers: list[tuple[str, str, str]]
    count: int
    dimension: int


def draw_embeddings(trained: Trained, owner: str) -> EmbeddingsFigure | None:
    """The embeddings on their first two principal components; None where there are not three of them.

    Which layer an embedding writes is found by asking which weights change with it, so that it holds for any
    genotype. One that writes several layers is named after all of them.
    """
    embeddings = _embeddings(trained.phenotype)
    if embeddings is None or len(embeddings) < 3:
        return None
    layers_of = written_layers(trained.phenotype)
    projected, shares = principal_components(embeddings)
    layers = list(dict.fromkeys(layers_of))
    x, y = projected[:, 0].tolist(), projected[:, 1].tolist()
    labels = [f"component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)]
    axes = linear_axis(labels[0], _spread(x)), linear_axis(labels[1], _spread(y))
    chart = Chart(*axes, Frame(top=26))
    styles = {layer: (colour(i), FILLED[i % len(FILLED)]) for i, layer in enumerate(layers)}
    for index, layer in enumerate(layers_of):
        style, shape = styles[layer]
        chart.mark(x[index], y[index], shape, f"mark {style}", f"embedding {index} writes {layer}")
    counts = ", ".join(f"{layers_of.count(layer)} of {layer}" for layer in layers)
    description = f"{len(embeddings)} embeddings on two principal components: {counts}."
    return EmbeddingsFigure(
        owner,
        chart.render(description),
        [(layer, *styles[layer]) for layer in layers],
        len(embeddings),
        embeddings.shape[1],
    )


def principal_components(vectors: Tensor) -> tuple[Tensor, list[float]]:
    """Vectors (E, D) on their first two principal components, (E, 2), and the variance that each explains."""
    centred = (vectors - vectors.mean(0)).double()
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    total = float(singular.square().sum()) or 1.0
    projected = torch.zeros(len(vectors), 2, dtype=torch.float64)
    found = centred @ directions[:2].T
    projected[:, : found.shape[1]] = found
    shares = [float(value) ** 2 / total for value in singular[:2]]
    return projected, [*shares, 0.0][:2]


def _embedding_names(phenotype: Phenotype) -> list[str]:
    """Parameters whose rows are embeddings of one length; none for a genotype without."""
    try:
        names = phenotype.genes("embeddings")
    except ConfigError:
        return []
    shapes = [phenotype.get_parameter(name).shape for name in names]
    same = bool(shapes) and all(len(shape) == 2 and shape[1] == shapes[0][-1] for shape in shapes)
    return names if same else []


def _embeddings(phenotype: Phenotype) -> Tensor | None:
    """All embeddings, (E, D)."""
    names = _embedding_names(phenotype)
    return torch.cat([phenotype.get_parameter(name).detach() for name in names]) if names else None


def written_layers(phenotype: Phenotype) -> list[str]:
    """For each embedding the name of what it writes: that whose gradient reaches it."""
    parameters = [phenotype.get_parameter(name) for name in _embedding_names(phenotype)]
    generator = torch.Generator().manual_seed(0)
    written: list[list[str]] = [[] for parameter in parameters for _ in range(len(parameter))]
    with torch.enable_grad():
        for name, weight in phenotype.genotype.express().items():
            if not weight.requires_grad:
                continue
            # Of a sum alone, the gradient would vanish where kernels are centred.
            score = (weight * torch.randn(weight.shape, generator=generator)).sum()
            gradients = torch.autograd.grad(score, parameters, retain_graph=True, allow_unused=True)
            reached = torch.cat(
                [
                    torch.zeros(len(parameter), dtype=torch.bool)
                    if gradient is None
                    else gradient.ne(0).any(1)
                    for parameter, gradient in zip(parameters, gradients, strict=True)
                ]
            )
            for index in reached.nonzero().flatten().tolist():
                written[index].append(name)
    return [", ".join(names) or "nothing" for names in written]


def _spread(values: Sequence[float]) -> list[float]:
    margin = (max(values) - min(values)) * 0.06 or 1.0
    return [min(values) - margin, max(values) + margin]

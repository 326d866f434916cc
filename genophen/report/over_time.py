"""What a recurrent network does over time: what of a dynamic genotype's state is worth a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from markupsafe import Markup, escape
from torch import Tensor

from genophen.contracts.dynamic import DynamicGenotype
from genophen.errors import one_line
from genophen.phenotype.phenotype import Phenotype
from genophen.report.images import diverging_png
from genophen.report.svg import picture
from genophen.training.experiment import Experiment

#: Steps that are drawn.
STEPS = 60
#: Matrices that are drawn of them.
_MATRICES = 6
_COLUMN, _ROW, _LETTERS = 12.0, 5.0, 18.0


@dataclass(frozen=True)
class Matrix:
    src: str
    #: After which step it is this.
    words: str


@dataclass(frozen=True)
class Traced:
    """Something of a state: either numbers over time as one picture, or matrices at some steps."""

    title: str
    #: Where the colours end, to both sides of zero.
    limit: float
    picture: Markup | None = None
    matrices: Sequence[Matrix] = ()


class _SeenError(Exception):
    """The first sequence that a task measures a network on."""

    def __init__(self, sequence: Tensor) -> None:
        super().__init__()
        self.sequence = sequence


def first_sequence(experiment: Experiment) -> Tensor | None:
    """The first steps (T, F) of the first sequence of the test, None for a task that runs none."""

    def show(x: Tensor, state: Any = None) -> Any:
        raise _SeenError(x[0, :STEPS].detach())

    # Only the task knows how its sequences are read; it is asked by a network that ends where it is called.
    phenotype = experiment.phenotype.eval()
    phenotype.sequence = show  # type: ignore[method-assign]
    try:
        with torch.no_grad():
            experiment.task.evaluate(phenotype, "test")
    except _SeenError as seen:
        return seen.sequence
    finally:
        del phenotype.sequence
    return None


def draw_states(phenotype: Phenotype, inputs: Tensor, symbols: Sequence[str] = ()) -> list[Traced]:
    """What a dynamic genotype carries over the steps of one sequence (T, F), `symbols` below them."""
    genotype = phenotype.genotype
    assert isinstance(genotype, DynamicGenotype)
    seen: dict[str, list[Tensor]] = {}
    state: Any = None
    with torch.no_grad():
        for x in inputs.split(1):
            _, state = phenotype(x, state)
            for cell, own in state[1].items():
                for name, value in genotype.pictured(cell, own).items():
                    seen.setdefault(f"{cell}: {name}" if cell else name, []).append(value[0].float().cpu())
    drawn = []
    for title, values in seen.items():
        stacked = torch.stack(values)  # (T, K) or (T, H, W)
        limit = float(stacked.abs().quantile(0.99)) if stacked.numel() < 2**20 else float(stacked.abs().max())
        draw: Callable[..., Traced] = _numbers if stacked.dim() == 2 else _matrices
        drawn.append(draw(title, stacked, limit or 1.0, [one_line(s) or "\u00b7" for s in symbols]))
    return drawn


def _numbers(title: str, values: Tensor, limit: float, symbols: Sequence[str]) -> Traced:
    """Numbers (T, K): time from left to right, one number a row."""
    steps, count = values.shape
    width, height = _COLUMN * steps, _ROW * count
    parts = [
        Markup(
            '<image href="{}" width="{:.0f}" height="{:.0f}" preserveAspectRatio="none" '
            'style="image-rendering: pixelated"/>'
        ).format(Markup(diverging_png(values.T, limit)), width, height)
    ]
    for step, symbol in enumerate(symbols[:steps]):
        parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
                _COLUMN * (step + 0.5), height + 13, escape(symbol)
            )
        )
    words = (
        f"{title}: {count} numbers over {steps} steps, {float(values.min()):.3g} to {float(values.max()):.3g}"
    )
    bottom = _LETTERS if symbols else 0.0
    return Traced(title, limit, picture(round(width), round(height + bottom), parts, words))


def _matrices(title: str, values: Tensor, limit: float, symbols: Sequence[str]) -> Traced:
    """Matrices (T, H, W) after some of the steps, the last among them."""
    steps = len(values)
    chosen = sorted(
        {round((i + 1) * steps / _MATRICES) - 1 for i in range(_MATRICES) if steps} & set(range(steps))
    )
    drawn = []
    for step in chosen:
        read = f", {''.join(symbols[max(0, step - 7) : step + 1])}" if symbols else ""
        drawn.append(Matrix(diverging_png(values[step], limit), f"after step {step + 1}{read}"))
    return Traced(title, limit, matrices=drawn)

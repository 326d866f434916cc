"""What a trained network gets wrong: which classes it takes for which, and the worst of the test images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genophen.compare.predictions import EvaluationPlace, labelled_images, trained_experiment
from genophen.data.classification import Classification
from genophen.errors import DamagedError
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.registry import Plugins
from genophen.report.images import image_png
from genophen.report.reported import ReportRun
from genophen.training.experiment import Experiment

WORST = 10
#: A table of more classes than this is not readable; the pairs that are confused most are listed instead.
MAX_CLASSES = 24
_MOST_CONFUSED = 15


@dataclass(frozen=True)
class WorstImage:
    number: int
    src: str
    true: str
    predicted: str
    loss: float


@dataclass(frozen=True)
class Mistakes:
    """`confusion[i][j]` is the number of images of class i that are taken for class j."""

    images: int
    wrong: int
    class_names: list[str]
    confusion: list[list[int]]
    worst: list[WorstImage]

    @property
    def shown_whole(self) -> bool:
        return len(self.class_names) <= MAX_CLASSES

    @property
    def most(self) -> int:
        """The largest number of images that are taken for one wrong class."""
        return max((count for _, _, count in self.most_confused), default=1)

    @property
    def most_confused(self) -> list[tuple[str, str, int]]:
        """Class, what it is taken for, how often; the most frequent first."""
        names = self.class_names
        pairs = [
            (names[i], names[j], count)
            for i, row in enumerate(self.confusion)
            for j, count in enumerate(row)
            if i != j and count
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:_MOST_CONFUSED]


def read_mistakes(run: ReportRun, plugins: Plugins, place: EvaluationPlace) -> Mistakes:
    """What the best round of a run gets wrong on the test images.

    Raises:
        DamagedError: for weights that are not as saved, and data that is not what the run was trained on.
        GenophenError: where the data cannot be had.
    """
    experiment = trained_experiment(run.directory, plugins, place)
    if run.environment is not None and experiment.task.digest() != run.environment.dataset.sha256:
        raise DamagedError(
            f"cannot show the mistakes of {run.directory}",
            found="the data here is not what it was trained on (its SHA-256 differs)",
        )
    return _measure(experiment)


def _measure(experiment: Experiment) -> Mistakes:
    task = labelled_images(experiment)
    labels, predicted, losses = _predictions(experiment.phenotype.eval(), task)
    outputs, data = task.num_outputs, task.data
    names = [*data.class_names]
    names += [f"(unused {index})" for index in range(len(names), outputs)]
    counts = torch.bincount(labels * outputs + predicted, minlength=outputs**2).view(outputs, outputs)
    worst = losses.argsort(descending=True, stable=True)[:WORST]
    images, _ = data.test.take(worst.to(data.test.images.device))
    return Mistakes(
        images=len(labels),
        wrong=int((labels != predicted).sum()),
        class_names=names,
        confusion=counts.tolist(),
        worst=[
            WorstImage(
                int(position),
                image_png(image),
                names[labels[position]],
                names[predicted[position]],
                float(losses[position]),
            )
            for position, image in zip(worst, images, strict=True)
        ],
    )


def _predictions(phenotype: Phenotype, task: Classification) -> tuple[Tensor, Tensor, Tensor]:
    """Labels, predicted classes and losses of the test images, each (N,), on the CPU."""
    found: list[tuple[Tensor, ...]] = []
    with torch.inference_mode():
        for images, labels in task.in_order("test"):
            logits = phenotype(images)
            losses = F.cross_entropy(logits, labels, reduction="none")
            found.append((labels.cpu(), logits.argmax(1).cpu(), losses.float().cpu()))
    labels, predicted, losses = (torch.cat(parts) for parts in zip(*found, strict=True))
    return labels, predicted, losses

"""What each run predicts on each test image, kept in its directory so that a second look is quick."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genophen.compare.finished import FinishedRun
from genophen.compare.groups import Group
from genophen.config.recorded import config_of
from genophen.data.classification import Classification
from genophen.errors import ConfigError, DamagedError, GenophenError
from genophen.plugins.registry import Plugins
from genophen.storage.checkpoint import MANIFEST, load_checkpoint, save_checkpoint
from genophen.storage.guard import GuardedPath
from genophen.storage.rundir import RunDirectory
from genophen.training.experiment import Experiment
from genophen.training.preparing import Notify
from genophen.training.trained import best_experiment

#: In the run directory, a checkpoint as any other: the predictions, and what they were made from.
FOLDER = "predictions"
#: Other devices round otherwise, so that single images may flip.
_TOLERANCE = 0.001


@dataclass(frozen=True)
class EvaluationPlace:
    """Where to evaluate, and where the data is; None: as the run's config has it."""

    device: str | None = None
    data_dir: Path | None = None


def read_predictions(
    groups: Iterable[Group], plugins: Plugins, place: EvaluationPlace, notify: Notify
) -> tuple[dict[Path, NDArray[np.bool_]], list[str]]:
    """For each run that can be evaluated here, on which test images it is right; and what is to be warned of.

    Raises:
        DamagedError: for weights that are not as their run saved them.
    """
    correct, warnings = {}, []
    for run in [run for group in groups for run in group.runs]:
        if not issubclass(plugins.get("task", run.result.task).cls, Classification):
            continue  # only images are drawn again
        if not RunDirectory(run.directory).best.is_folder():
            warnings.append(f"{run.directory} takes no part in the bootstrap: its weights, best/, are gone")
            continue
        try:
            found, data_sha256 = correct_images(run, plugins, place, notify)
        except DamagedError:
            raise
        except GenophenError as error:
            reason = f"{error.attempted}: {error.found}"
            warnings.append(f"{run.directory} takes no part in the bootstrap: {reason}")
            continue
        if data_sha256 != run.environment.dataset.sha256:
            warnings.append(
                f"{run.directory} takes no part in the bootstrap: the data here is not what it was trained on"
            )
            continue
        correct[run.directory] = found
        if abs(float(found.mean()) - run.test_score) > max(1 / len(found), _TOLERANCE) + 1e-9:
            warnings.append(
                f"{run.directory} has a test accuracy of {found.mean():.2%} when evaluated again, "
                f"where its result.json says {run.test_score:.2%}"
            )
    return correct, warnings


def correct_images(
    run: FinishedRun, plugins: Plugins, place: EvaluationPlace, notify: Notify
) -> tuple[NDArray[np.bool_], str]:
    """On which test images the best round of a run is right, shape (images,), and the data set's SHA-256.

    Raises:
        DamagedError: for weights that are not as the run saved them.
        GenophenError: where the data cannot be had.
    """
    files = RunDirectory(run.directory)
    made_from = {
        "best": _sha256(files.best / MANIFEST),
        "config": _sha256(files.config),
        "dataset": run.environment.dataset.sha256,
    }
    kept = _kept(files.folder / FOLDER, made_from)
    if kept is not None:
        return kept, made_from["dataset"]
    notify(f"evaluating {run.directory} on the test images")
    experiment = trained_experiment(run.directory, plugins, place)
    data_sha256 = experiment.task.digest()
    correct = _evaluate(experiment)
    if data_sha256 == made_from["dataset"]:
        with suppress(OSError):  # a run directory that cannot be written is evaluated each time
            tensors = {"correct": torch.from_numpy(correct)}
            save_checkpoint(files.folder / FOLDER, "test", tensors, made_from)
    return correct, data_sha256


def _kept(folder: GuardedPath, made_from: Mapping[str, Any]) -> NDArray[np.bool_] | None:
    """Predictions from before, if they are whole and from the same weights."""
    try:
        tensors, values = load_checkpoint(folder)
    except DamagedError:
        return None
    correct = tensors.get("correct")
    if values != made_from or correct is None or correct.dtype != torch.bool or correct.dim() != 1:
        return None
    kept: NDArray[np.bool_] = correct.numpy()
    return kept


def trained_experiment(directory: Path, plugins: Plugins, place: EvaluationPlace) -> Experiment:
    """A run's objects, data included, with the weights of its best round."""
    files = RunDirectory.open(directory)
    data_dir = None if place.data_dir is None else str(place.data_dir)
    config = config_of(files, plugins, {"training.device": place.device, "dataset.data_dir": data_dir})
    experiment, _ = best_experiment(files, config, plugins, lambda note: None)
    return experiment


def labelled_images(experiment: Experiment) -> Classification:
    """The task, where it is about labelled images.

    Raises:
        ConfigError: where it is about anything else.
    """
    if not isinstance(experiment.task, Classification):
        raise ConfigError(
            f"cannot look at single images of the task {experiment.task.name}",
            found="it has no labelled images",
            allowed="classification",
        )
    return experiment.task


def _evaluate(experiment: Experiment) -> NDArray[np.bool_]:
    phenotype, batches = experiment.phenotype.eval(), labelled_images(experiment).in_order("test")
    with torch.inference_mode():
        found = [(phenotype(images).argmax(1) == labels).cpu() for images, labels in batches]
    correct: NDArray[np.bool_] = torch.cat(found).numpy()
    return correct


def _sha256(file: GuardedPath) -> str:
    """The digest of a file; empty where there is none, which those who read it will say better."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return ""

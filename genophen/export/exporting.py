"""Exporting a run: its network and preprocessing put together, written, and compared before they are kept."""

from __future__ import annotations

import copy
import logging
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genophen import __version__
from genophen.config.config import Config
from genophen.contracts.dataset import Data
from genophen.contracts.dynamic import DynamicGenotype
from genophen.data.batches import Normalization, check_fit, fit_images, measure_normalization
from genophen.data.classification import Classification
from genophen.errors import ConfigError, DamagedError, GenophenError
from genophen.export.deployed import DeployedNetwork
from genophen.export.formats import Format, find_format
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.isolation import cause
from genophen.plugins.registry import Plugins
from genophen.storage.files import write_file, writing
from genophen.storage.rundir import RunDirectory
from genophen.training.preparing import Notify, load_data
from genophen.training.seeds import seed_global_generators
from genophen.training.trained import best_phenotype, data_difference

#: Test images on which a file is compared with the phenotype; their labels are not looked at.
CHECKED_IMAGES = 100
#: Largest difference of a logit, as a fraction of the largest logit: other orders of summation.
TOLERANCE = 1e-3
#: The same where images are resized: a pixel that falls between two grey levels may be rounded to either.
RESIZED_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Exported:
    """A file that was kept."""

    file: Path
    #: What the file says of itself.
    about: dict[str, Any]
    #: How many images it was compared on, and the largest difference of a logit.
    images: int
    difference: float


def export_run(
    run: RunDirectory,
    config: Config,
    plugins: Plugins,
    format_name: str,
    out: Path | None,
    notify: Notify = lambda note: None,
) -> Exported:
    """Write the best network of a run to `out`, or to `network.SUFFIX` in its folder, once it is compared.

    Raises:
        ConfigError: for a format that is not known, and a name that does not end as it asks.
        DamagedError: for weights, or data, that are not those of the run.
        GenophenError: for a file whose logits are not the phenotype's; nothing is left of it.
    """
    chosen = find_format(format_name)
    genotype = plugins.get("genotype", config.genotype.name).cls
    if issubclass(genotype, DynamicGenotype):
        raise ConfigError(
            f"cannot export the run in {run.path}",
            found=f"its genotype {genotype.name} writes other weights at each step, for each sample",
            allowed="a genotype that writes them once: a file holds one set of weights",
            next_step="Run.load(DIR).phenotype() runs it, step by step or whole sequences",
        )
    if config.task.name != Classification.name:
        raise ConfigError(
            f"cannot export the run in {run.path}",
            found=f"its task is {config.task.name}",
            allowed=f"{Classification.name}: an exported network takes images as the data set has them",
            next_step="Run.load(DIR).phenotype().materialize() gives the network as a plain module",
        )
    file = _target(run, chosen, format_name, out)
    seed_global_generators(config.training.seed)
    architecture, phenotype, best_round = best_phenotype(run, config, plugins)
    data = load_data(config, plugins, notify)
    assert isinstance(data, Data)  # as the task checked when the run began
    if difference := data_difference(run, data.digest()):
        raise DamagedError(
            f"cannot export the run in {run.path}",
            found=difference,
            allowed="the data that it was trained on: the preprocessing is measured on it",
            next_step="name the folder of that data: --data-dir DIR",
        )
    image_shape = tuple(data.train.images.shape[1:])
    input_shape = check_fit(image_shape, architecture.shapes()[0])
    normalization = measure_normalization(data.train, input_shape)
    network = phenotype.materialize().requires_grad_(False)
    about = {
        "genophen": __version__,
        "architecture": config.architecture.name,
        "genotype": config.genotype.name,
        "dataset": config.source,
        "classes": list(data.class_names),
        "round": best_round,
        "image_shape": list(image_shape),
        "input_shape": list(input_shape),
        "mean": normalization.mean.flatten().tolist(),
        "std": normalization.std.flatten().tolist(),
        "network": repr(network),
    }
    deployed = DeployedNetwork(network, normalization, about).eval()
    images = _some_images(data)
    expected = _expected(phenotype, images, normalization, about)
    content = _written(chosen, deployed, file)
    largest = _compared(chosen, content, images, expected, deployed, file)
    with writing(file, "--out FILE"):
        write_file(file, content)
    return Exported(file, about, len(images), largest)


def _target(run: RunDirectory, chosen: Format, name: str, out: Path | None) -> Path:
    file = run.path / f"network{chosen.suffix}" if out is None else out
    if file.suffix != chosen.suffix:
        raise ConfigError(
            f"cannot write the format {name} to {file}", allowed=f"a name ending in {chosen.suffix}"
        )
    return file


def _written(chosen: Format, deployed: DeployedNetwork, file: Path) -> bytes:
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)  # tracing and conversion log, and print, whole programs
    try:
        with redirect_stderr(StringIO()):
            return chosen.write(deployed)
    except GenophenError:
        raise
    except Exception as error:  # whatever the format's own packages raise
        raise GenophenError(
            f"cannot export to {file}",
            found=cause(error)[:600],
            next_step="another format: safetensors and torch hold the weights alone",
        ) from error
    finally:
        logging.disable(level)


def _some_images(data: Data) -> Tensor:
    """Test images at equal distances, uint8 (n, C, H, W): in many data sets the classes lie one by one."""
    count = min(CHECKED_IMAGES, len(data.test))
    images, _ = data.test.take(torch.linspace(0, len(data.test) - 1, count).long())
    return images.contiguous()


@torch.no_grad()
def _expected(
    phenotype: Phenotype, images: Tensor, normalization: Normalization, about: dict[str, Any]
) -> Tensor:
    """The phenotype's logits, as `genophen evaluate` computes them."""
    logits: Tensor = phenotype(normalization(fit_images(images, tuple(about["input_shape"]))))
    return logits


def _compared(
    chosen: Format, content: bytes, images: Tensor, expected: Tensor, deployed: DeployedNetwork, file: Path
) -> float:
    """The largest difference between the file's logits and the phenotype's.

    Raises:
        GenophenError: where it is more than rounding explains.
    """
    attempted = f"cannot export to {file}"
    try:
        with torch.no_grad():
            found = chosen.read(content, _blank(deployed.network))(images)
    except Exception as error:  # whatever the format's own loader and runtime raise
        raise GenophenError(attempted, found=f"the file cannot be used: {cause(error)[:600]}") from error
    if found.shape == expected.shape:
        largest = float((found - expected).abs().max())
        tolerance = RESIZED_TOLERANCE if deployed.resized else TOLERANCE
        allowed = tolerance * max(1.0, float(expected.abs().max()))
        if largest <= allowed:  # not so where either is not a number
            return largest
        said, at_most = f"logits that differ by up to {largest:.3g}", f"at most {allowed:.3g}"
    else:
        said, at_most = f"logits of shape {tuple(found.shape)}", str(tuple(expected.shape))
    raise GenophenError(
        attempted,
        found=f"{said} from the phenotype's on {len(images)} test images; no file was written",
        allowed=at_most,
        next_step="does the architecture draw at random, or keep state, in eval mode?",
    )


def _blank(network: nn.Module) -> nn.Module:
    """The network with zeros for weights, so that none can come from anywhere but the file."""
    blank = copy.deepcopy(network)
    for tensor in blank.state_dict().values():
        tensor.zero_()
    return blank

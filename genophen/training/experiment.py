"""From a config to the objects of a run: data, architecture, phenotype, and how well it does."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from genophen.config.config import Config
from genophen.contracts.architecture import Architecture, build_network, check_description
from genophen.contracts.dataset import Data, Dataset, Split
from genophen.data.batches import (
    EvaluationBatches,
    Normalization,
    TrainBatches,
    check_fit,
    fit_images,
    measure_normalization,
)
from genophen.data.splits import check_data, draw_validation
from genophen.errors import ConfigError, PluginError
from genophen.phenotype.gabor import initialize_gabor
from genophen.phenotype.phenotype import Phenotype, compile_phenotype
from genophen.plugins.isolation import cause
from genophen.plugins.registry import Plugins
from genophen.training.device import choose_device
from genophen.training.seeds import derive_seed, seed_global_generators

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """How well a phenotype does on a split."""

    loss: float
    accuracy: float


@dataclass
class Experiment:
    """The objects that a config describes, on one device."""

    config: Config
    plugins: Plugins
    device: torch.device
    architecture: Architecture
    phenotype: Phenotype
    data: Data
    data_sha256: str
    normalization: Normalization

    def split(self, name: str) -> Split:
        """The split `train`, `validation` or `test`."""
        split: Split = getattr(self.data, name)
        return split

    def train_batches(self) -> TrainBatches:
        """Augmented training batches, drawn with a generator of their own."""
        training = self.config.training
        generator = torch.Generator().manual_seed(derive_seed(training.seed, "batches"))
        return TrainBatches(
            self.data.train,
            self.normalization,
            self.architecture.input_shape,
            training.batch_size,
            self.config.augmentation,
            generator,
        )

    def evaluate(self, split: str) -> Evaluation:
        """Loss and accuracy on all images of a split, in eval mode, counted apart from the training."""
        return evaluate(self.phenotype, self.batches(split))

    def batches(self, split: str) -> EvaluationBatches:
        """The images of a split in order, unaugmented."""
        size = self.config.training.evaluation_batch_size
        return EvaluationBatches(self.split(split), self.normalization, self.architecture.input_shape, size)


def assemble(config: Config, plugins: Plugins, notify: Notify) -> Experiment:
    """Build everything that a config describes. `notify` is told what the user may want to know.

    Raises:
        ConfigError: where data and architecture do not fit each other.
        PluginError: for a plugin that breaks its contract.
    """
    # Datasets, architectures and genotypes of others may draw from the global generators.
    seed_global_generators(config.training.seed)
    device = choose_device(config.training.device)
    architecture, phenotype = build_phenotype(config, plugins)
    phenotype = phenotype.to(device)
    memory_format = _set_memory_format(config, architecture, phenotype, device)
    if config.training.precision != "float32":
        phenotype.training_precision = getattr(torch, config.training.precision)
    data = load_data(config, plugins, notify)
    check_fit(tuple(data.train.images.shape[1:]), architecture.input_shape)
    _check_classes(data, architecture, config, notify)
    digest = data.digest()
    data = _store(data, architecture, config, device, notify)
    normalization = measure_normalization(data.train, architecture.input_shape).to(device, memory_format)
    return Experiment(config, plugins, device, architecture, phenotype, data, digest, normalization)


def build_phenotype(config: Config, plugins: Plugins) -> tuple[Architecture, Phenotype]:
    """The architecture and the compiled phenotype that a config describes, on the CPU, without any data.

    Raises:
        PluginError: where the architecture's code raises, with what it said.
    """
    name, seed = config.architecture.name, config.training.seed
    with plugins.blame("architecture", name):
        architecture: Architecture = plugins.get("architecture", name).cls(config.architecture.options)
        network = build_network(architecture, derive_seed(seed, "network"))
        patterns = architecture.expressed()
        check_description(architecture, patterns)
    if not isinstance(network, nn.Module):
        raise PluginError(
            f"cannot build the architecture {config.architecture.name}",
            found=f"build() returned {type(network).__name__}",
            allowed="a torch.nn.Module",
        )
    genotype = plugins.get("genotype", config.genotype.name).cls
    with plugins.blame("genotype", config.genotype.name):
        phenotype = compile_phenotype(
            network,
            patterns,
            genotype,
            config.genotype.options,
            seed=derive_seed(seed, "genotype"),
            input_shape=architecture.input_shape,
        )
    if config.training.direct_initialization == "gabor":
        initialize_gabor(phenotype.network, architecture.input_shape[0])
    _check_state(phenotype)
    return architecture, phenotype


def _check_state(phenotype: Phenotype) -> None:
    """Refuse state that a checkpoint cannot hold, before any training."""
    for name, value in phenotype.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise PluginError(
                "cannot keep the network's state in checkpoints",
                found=f"{name} is a {type(value).__name__}",
                allowed="parameters and buffers (no get_extra_state)",
            )


def evaluate(phenotype: Phenotype, batches: EvaluationBatches) -> Evaluation:
    """Mean cross-entropy and accuracy over all images, in eval mode; the mode is put back afterwards."""
    was_training = phenotype.training
    phenotype.eval()
    loss_sum, correct, count = 0.0, 0, 0
    with torch.inference_mode(), phenotype.samples.paused():
        for images, labels in batches:
            logits = phenotype(images)  # (N, num_classes)
            loss_sum += F.cross_entropy(logits, labels, reduction="sum").double().item()
            correct += int((logits.argmax(1) == labels).sum())
            count += len(labels)
    phenotype.train(was_training)
    return Evaluation(loss_sum / count, correct / count)


def _set_memory_format(
    config: Config, architecture: Architecture, phenotype: Phenotype, device: torch.device
) -> torch.memory_format:
    """Bring the phenotype into the memory format that the config asks for, and check that it runs."""
    wanted, name = config.training.memory_format, config.architecture.name
    if wanted == "channels-last" or (wanted == "auto" and device.type == "cpu"):
        try:
            phenotype.to(memory_format=torch.channels_last)
            check_output(architecture, phenotype, name, torch.channels_last)
            return torch.channels_last
        except (PluginError, RuntimeError):
            # Code such as x.view(len(x), -1) takes contiguous activations alone.
            if wanted == "channels-last":
                raise
            phenotype.to(memory_format=torch.contiguous_format)
    check_output(architecture, phenotype, name)
    return torch.contiguous_format


def check_output(
    architecture: Architecture,
    phenotype: Phenotype,
    name: str,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> None:
    """Run two blank images through, so that a network that cannot run fails before any training."""
    device = next(iter(phenotype.state_dict().values())).device
    images = torch.zeros(2, *architecture.input_shape, device=device).to(memory_format=memory_format)
    trial = copy.deepcopy(phenotype)  # so that no batch norm sees the blank images
    attempted = f"cannot run the architecture {name} on images of shape {tuple(architecture.input_shape)}"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            trial.train()(images)
            logits = trial.eval()(images)
        except (Exception, SystemExit) as error:
            raise PluginError(attempted, found=f"it raised {cause(error)}") from error
    expected = (2, architecture.num_classes)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise PluginError(attempted, found=f"two images gave {found}", allowed=f"logits of shape {expected}")


def load_data(config: Config, plugins: Plugins, notify: Notify) -> Data:
    """The data set with all three splits."""
    with plugins.blame("dataset", config.dataset.name):
        dataset: Dataset = plugins.get("dataset", config.dataset.name).cls(config.dataset.options)
        data = dataset.load(config.data.data_dir)
        check_data(data, config.dataset.name)
    if data.validation is None:
        return draw_validation(data, config.data.validation_size, config.data.split_seed)
    if config.data.validation_size is not None:
        notify(
            f"dataset.validation_size is not used: {config.dataset.name} has "
            f"{len(data.validation)} validation images of its own"
        )
    return data


def _check_classes(data: Data, architecture: Architecture, config: Config, notify: Notify) -> None:
    classes, outputs = len(data.class_names), architecture.num_classes
    if classes > outputs:
        raise ConfigError(
            f"cannot train {config.architecture.name} on {config.dataset.name}",
            found=f"{classes} classes, an architecture with {outputs} outputs",
            allowed=f"up to {outputs} classes",
            next_step=f"--set architecture.{config.architecture.name}.num_classes={classes}, "
            "where it has that setting (see `genophen plugins show`)",
        )
    if classes < outputs:
        notify(f"{config.dataset.name} has {classes} classes: {outputs - classes} outputs stay unused")


def _store(
    data: Data, architecture: Architecture, config: Config, device: torch.device, notify: Notify
) -> Data:
    """The splits as batches are taken from them: resized and on the device, or to be streamed."""
    channels, height, width = data.train.images.shape[1:]
    size = tuple(architecture.input_shape[1:])
    if size != (height, width):
        notify(f"images are resized from {height}x{width} to {size[0]}x{size[1]}")
    assert data.validation is not None
    count = len(data.train) + len(data.validation) + len(data.test)
    num_bytes = count * channels * size[0] * size[1]
    storage = config.data.storage
    if storage == "stream" or (storage == "auto" and num_bytes > _memory_bytes(device) / 2):
        notify(f"images ({num_bytes / 2**30:.1f} GiB) are streamed batch by batch")
        return data
    shape = (channels, size[0], size[1])
    return replace(
        data,
        train=_in_memory(data.train, shape, device),
        validation=_in_memory(data.validation, shape, device),
        test=_in_memory(data.test, shape, device),
    )


def _in_memory(split: Split, shape: tuple[int, int, int], device: torch.device) -> Split:
    if tuple(split.images.shape[1:]) == shape:
        return split.to(device)
    fitted = [(fit_images(images, shape).to(device), labels) for images, labels in split.chunks()]
    images, labels = zip(*fitted, strict=True)
    return Split(torch.cat(images), torch.cat(labels).to(device))


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

"""Small networks and configs that several tests use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import genophen
from genophen.config.config import resolve_config
from genophen.config.toml import read_toml
from genophen.plugins.loading import load_plugins
from genophen.population.population import Population
from genophen.storage.rundir import RunDirectory
from genophen.training.preparing import load_data
from genophen.training.trained import best_experiment


def plugin_class(kind: str, name: str) -> Any:
    return load_plugins().get(kind, name).cls


def small_network() -> nn.Sequential:
    """Two kernel sizes, channel counts that are no multiple of 16, batch norm, a dense layer."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 20, 3, padding=1),
        nn.BatchNorm2d(20),
        nn.ReLU(),
        nn.Conv2d(20, 33, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(33, 7, 1, bias=False),
        nn.Flatten(),
        nn.Linear(7 * 36, 5),
    )


def compiled(**options: Any) -> genophen.Phenotype:
    patterns = ["0.weight", "3.weight", "5.weight"]
    return genophen.compile(small_network(), patterns, **options)


def digits_tables(**training: Any) -> dict[str, Any]:
    """A config that trains on the digits in a second or two."""
    return {
        "dataset": {"name": "digits"},
        "augmentation": {"padding": 1},
        "architecture": {"name": "mnist-cnn"},
        "genotype": {"name": "hypernetwork", "hypernetwork": {"embedding_dim": 4}},
        "optimizer": {"name": "adam"},
        "training": {"rounds": 2, "batch_size": 100, **training},
    }


def shipped(name: str, **options: Any) -> tuple[genophen.Phenotype, Tensor]:
    architecture = plugin_class("architecture", name)()
    torch.manual_seed(0)
    options = {"embedding_dim": 4, "projection_dim": 4, **options}
    phenotype = genophen.compile(architecture.build(), architecture.expressed(), **options)
    return phenotype, torch.randn(3, *architecture.input_shape)


def candidates_of(population: Population, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    center = population.center()
    return center + 0.1 * torch.randn(count, len(center), generator=generator)


def one_by_one(
    phenotype: genophen.Phenotype, population: Population, candidates: Tensor, x: Tensor
) -> Tensor:
    """The logits as `evaluate` computes them, the phenotype put back afterwards."""
    center, outputs = population.center(), []
    with torch.no_grad():
        for candidate in candidates:
            population.assign(candidate)
            outputs.append(phenotype.eval()(x))
    population.assign(center)
    return torch.stack(outputs)


@torch.inference_mode()
def classes_on_test_images(run: genophen.Run, onnx_file: Path) -> tuple[Tensor, Tensor]:
    """Classes (N,) by an ONNX file on raw test images, and by the phenotype as `evaluate` measures it."""
    import onnxruntime

    plugins, files = load_plugins(), RunDirectory.open(run.directory)
    config = resolve_config(read_toml(files.config), plugins, "of the test")
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    raw = load_data(config, plugins, lambda note: None).test
    exported = [
        torch.from_numpy(session.run(None, {"images": images.numpy()})[0]) for images, _ in raw.chunks(500)
    ]
    experiment, _ = best_experiment(files, config, plugins, lambda note: None)
    measured = [experiment.phenotype.eval()(images).cpu() for images, _ in experiment.task.in_order("test")]
    return torch.cat(exported).argmax(1), torch.cat(measured).argmax(1)

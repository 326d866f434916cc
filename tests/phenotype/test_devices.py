"""Nothing mixes devices: whatever ships runs on a GPU's tensors, which torch makes up where there is no GPU.

The backward pass is torch's own, and asks for a driver.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional as F

import genophen
from genophen.plugins.loading import load_plugins

#: Of each kind one that leaves no code of its plugin out; all genotypes write them.
STATIC = ["mnist-cnn", "vgg-block1", "vgg-block3", "lstm", "gru", "rnn", "elman", "mlp"]
DYNAMIC = {"hyper-lstm": "lstm", "hyper-rnn": "gru", "fast-weights": "fast-weight-network"}
GENOTYPES = ["cppn", "cppn-graph", "dct", "direct", "hypernetwork", "low-rank", "mlp-hypernetwork"]
GENOTYPES.append("random-projection")
CASES = [(a, g) for g in GENOTYPES for a in STATIC] + [(a, g) for g, a in DYNAMIC.items()]


def on_gpu(module: nn.Module) -> nn.Module:
    """The module with made-up numbers of its shapes on a GPU in the place of its parameters and buffers."""
    for owner in module.modules():
        for held in (owner._parameters, owner._buffers):
            for name, value in held.items():
                if value is None:
                    continue
                made = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                parameter = isinstance(value, nn.Parameter)
                held[name] = nn.Parameter(made, requires_grad=value.requires_grad) if parameter else made
    return module


def compiled(architecture_name: str, genotype: str) -> tuple[genophen.Architecture, genophen.Phenotype]:
    cls = load_plugins().get("architecture", architecture_name).cls
    gated = architecture_name in ("lstm", "gru", "rnn")  # torch's own kernels ask for a driver
    architecture = cls(cls.Options(layer_norm=True)) if gated else cls()
    recurrent = architecture.recurrent or architecture_name == "mlp"
    architecture.fill_in((5,) if recurrent else (1, 8, 8), 3)
    phenotype = genophen.compile(architecture.build(), architecture.expressed(), genotype)
    return architecture, phenotype


def first(outputs: Any) -> Tensor:
    found: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("architecture_name", "genotype"), CASES)
def test_training_and_evaluation_stay_on_their_device(architecture_name: str, genotype: str) -> None:
    architecture, phenotype = compiled(architecture_name, genotype)
    shape, outputs = architecture.shapes()
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_gpu(phenotype)
        x = torch.empty(4, *shape, device="cuda")
        call = phenotype.sequence if architecture.recurrent else phenotype
        steps = torch.empty(4, 3, *shape, device="cuda") if architecture.recurrent else x
        found = first(call(steps))
        assert isinstance(found, FakeTensor)
        assert found.device.type == "cuda"
        labels = torch.zeros(found.shape[:-1].numel(), dtype=torch.int64, device="cuda")
        loss = F.cross_entropy(found.flatten(0, -2), labels)
        assert loss.requires_grad
        with torch.no_grad():
            assert first(phenotype.eval()(x)).shape == (4, outputs)


def test_mixed_devices_are_found() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(RuntimeError, match="cuda"):
        nn.Linear(2, 2)(torch.empty(1, 2, device="cuda")) + torch.zeros(1)

"""Nothing mixes devices: whatever ships runs on tensors of another device, on a machine that has none.

Forward passes run on a GPU's tensors, which torch makes up (`FakeTensorMode`); its backward pass would ask
for a driver, and populations corrupt its memory. So whole steps and populations run on the device `meta`,
whose tensors hold no numbers, under a mode that refuses whatever mixes it with the CPU.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional as F
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import genophen
from genophen.plugins.loading import load_plugins

#: Of each kind one that leaves no code of its plugin out; all genotypes write them.
STATIC = ["mnist-cnn", "vgg-block1", "vgg-block3", "lstm", "gru", "rnn", "elman", "mlp"]
DYNAMIC = {"hyper-lstm": "lstm", "hyper-rnn": "gru", "fast-weights": "fast-weight-network"}
GENOTYPES = ["cppn", "cppn-graph", "dct", "direct", "hypernetwork", "low-rank", "mlp-hypernetwork"]
GENOTYPES.append("random-projection")
CASES = [(a, g) for g in GENOTYPES for a in STATIC] + [(a, g) for g, a in DYNAMIC.items()]


aten = torch.ops.aten
#: What asks for numbers, which tensors of the device meta do not have.
ASKING = (aten._local_scalar_dense.default, aten.equal.default, aten.allclose.default)
#: What may take a tensor from one device to another.
MOVING = (aten.copy_.default, aten._to_copy.default)


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of several devices; where numbers are asked for, all agree."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in ASKING and args[0].is_meta:
            return args[0].dtype == torch.bool if func is ASKING[0] else True
        tensors = [
            item for item in pytree.tree_leaves((args, kwargs)) if isinstance(item, Tensor) and item.dim()
        ]
        if len({item.device for item in tensors}) > 1 and func not in MOVING:
            raise RuntimeError(f"{func} on {[(str(item.device), tuple(item.shape)) for item in tensors]}")
        return func(*args, **(kwargs or {}))


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


def call_of(
    architecture: genophen.Architecture, phenotype: genophen.Phenotype
) -> tuple[Any, tuple[int, ...]]:
    """What a training step calls, and the shape of what it takes for 4 examples."""
    shape, _ = architecture.shapes()
    return (phenotype.sequence, (4, 3, *shape)) if architecture.recurrent else (phenotype, (4, *shape))


def loss_of(outputs: Tensor) -> Tensor:
    labels = torch.zeros(outputs.shape[:-1].numel(), dtype=torch.int64, device=outputs.device)
    return F.cross_entropy(outputs.flatten(0, -2), labels)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("architecture_name", "genotype"), CASES)
def test_forward_passes_stay_on_a_gpu(architecture_name: str, genotype: str) -> None:
    architecture, phenotype = compiled(architecture_name, genotype)
    shape, outputs = architecture.shapes()
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_gpu(phenotype)
        call, steps = call_of(architecture, phenotype)
        found = first(call(torch.empty(steps, device="cuda")))
        assert isinstance(found, FakeTensor)
        assert found.device.type == "cuda"
        assert loss_of(found).requires_grad
        with torch.no_grad():
            assert first(phenotype.eval()(torch.empty(4, *shape, device="cuda"))).shape == (4, outputs)


@pytest.mark.parametrize(("architecture_name", "genotype"), CASES)
def test_training_steps_and_populations_stay_on_their_device(architecture_name: str, genotype: str) -> None:
    architecture, phenotype = compiled(architecture_name, genotype)
    shape, outputs = architecture.shapes()
    phenotype.to("meta")
    with OneDevice():
        call, steps = call_of(architecture, phenotype)
        update = torch.optim.Adam(phenotype.parameters())
        loss_of(first(call(torch.empty(steps, device="meta")))).backward()
        assert all(p.grad is not None and p.grad.is_meta for p in phenotype.genotype.parameters())
        update.step()
        population = genophen.Population(phenotype.eval(), phenotype.genes("genotype"))
        candidates = torch.empty(3, population.num_genes, device="meta")
        found = first(population.networks(candidates)(torch.empty(4, *shape, device="meta")))
    assert found.is_meta
    assert found.shape == (3, 4, outputs)


def test_mixed_devices_are_found() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(RuntimeError, match="cuda"):
        nn.Linear(2, 2)(torch.empty(1, 2, device="cuda")) + torch.zeros(1)
    with OneDevice(), pytest.raises(RuntimeError, match="meta"):
        torch.where(torch.empty(2, device="meta") > 0, torch.zeros(2), torch.zeros(2))

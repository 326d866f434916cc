"""The MNIST network under Hyper4_4 in JAX, as a user of evosax would write it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import genophen


def jax_losses(
    phenotype: genophen.Phenotype,
    population: genophen.Population,
    candidates: Tensor,
    images: Tensor,
    labels: Tensor,
) -> Callable[[], Tensor] | None:
    """A function that gives the losses (P,); None where evosax or JAX is not installed."""
    try:
        jax = importlib.import_module("jax")
        importlib.import_module("evosax")
    except ImportError:
        return None
    np = jax.numpy
    fixed = {n: np.asarray(p.detach().numpy()) for n, p in phenotype.named_parameters()}
    sizes = {name: tuple(parameter.shape) for name, parameter in population.genes.items()}
    x, y = np.asarray(images.contiguous().numpy()), np.asarray(labels.numpy())

    def loss(candidate: Any, x: Any, y: Any) -> Any:
        numbers, start = dict(fixed), 0
        for name, shape in sizes.items():
            numbers[name] = candidate[start : start + math.prod(shape)].reshape(shape)
            start += math.prod(shape)
        hidden = _pooled(jax, _conv(jax, x, numbers["network.conv1.weight"], numbers["network.conv1.bias"]))
        hidden = _pooled(jax, _conv(jax, hidden, _kernel(np, numbers), 0.0))
        logits = (
            hidden.reshape(len(x), -1) @ numbers["network.dense.weight"].T + numbers["network.dense.bias"]
        )
        return -jax.nn.log_softmax(logits)[np.arange(len(y)), y].mean()

    every = jax.jit(jax.vmap(loss, in_axes=(0, None, None)))
    given = np.asarray(candidates.numpy())
    return lambda: torch.from_numpy(every(given, x, y).block_until_ready().__array__().copy())


def _kernel(np: Any, numbers: dict[str, Any]) -> Any:
    """The one basic kernel (16, 16, 7, 7), standardised."""
    part = {
        name: numbers[f"genotype.generators.7x7.{name}"]
        for name in ("embeddings", "weight_in", "bias_in", "weight_out", "bias_out")
    }
    a = part["weight_in"] @ part["embeddings"][0] + part["bias_in"]  # (16, d)
    kernels = np.einsum("kod,id->iko", part["weight_out"], a) + part["bias_out"]  # (B_in, kh, B_out kw)
    kernel = kernels.reshape(16, 7, 16, 7).transpose(2, 0, 1, 3)
    rows = kernel.reshape(16, -1)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-8)
    return (rows * math.sqrt(2 / rows.shape[1])).reshape(16, 16, 7, 7)


def _conv(jax: Any, x: Any, weight: Any, bias: Any) -> Any:
    out = jax.lax.conv_general_dilated(x, weight, (1, 1), "SAME")
    return jax.nn.relu(out + (bias[:, None, None] if hasattr(bias, "shape") else bias))


def _pooled(jax: Any, x: Any) -> Any:
    window = (1, 1, 2, 2)
    return jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, window, window, "VALID")

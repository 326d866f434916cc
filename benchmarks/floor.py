"""A training step beside the least that the machine could need for it: python -m benchmarks floor

The floor is counted: the network's multiplications and additions, at the speed of a large matrix product
that is measured in the same run, or the bytes that must pass through main memory, at the speed of a large
copy, whichever takes longer. In float32 and in bfloat16 and, on a GPU, with the kernels launched one after
the other and as one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.networks import DEVICE, make_architecture, make_phenotype, make_plain
from benchmarks.table import Table
from benchmarks.timing import compare, timed
from benchmarks.training_step import CASES

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
#: Layers whose outputs cannot stay in registers; what element-wise layers do can be part of these.
STORED = (nn.Conv2d, nn.Linear, nn.MaxPool2d)
#: An output is written and read forward, read backward, and its gradient written and read.
MOVES_OF_OUTPUT = 5
#: Adam reads a parameter, its gradient and two moments, and writes all but the gradient.
MOVES_OF_PARAMETER = 7
#: Rows and columns of the measured product, and bytes of the measured copy.
PRODUCT, COPY = (8192, 2**30) if DEVICE.type == "cuda" else (2048, 2**28)


@dataclass(frozen=True)
class Floor:
    """What a step needs at least, and how fast the machine could do it."""

    operations: float
    moved: float
    operations_per_second: float
    bytes_per_second: float

    @property
    def seconds(self) -> float:
        return max(self.operations / self.operations_per_second, self.moved / self.bytes_per_second)

    def __str__(self) -> str:
        return (
            f"{self.seconds * 1e3:.3g} ms ({self.operations / 1e9:.3g} billion operations, "
            f"{self.operations_per_second / 1e9:.0f} a second; {self.moved / 1e6:.3g} MB moved, "
            f"{self.bytes_per_second / 1e9:.3g} GB a second)"
        )


def tables(pairs: int) -> list[Table]:
    return [
        _table(name, batch, embedding_dim, precision, pairs)
        for name, (batch, embedding_dim, _) in CASES.items()
        for precision in PRECISIONS
    ]


def _table(name: str, batch: int, embedding_dim: int, precision: str, pairs: int) -> Table:
    architecture, dtype = make_architecture(name), PRECISIONS[precision]
    images = torch.randn(batch, *architecture.input_shape, device=DEVICE)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, architecture.num_outputs, (batch,), device=DEVICE)
    networks = {"plain": make_plain(architecture), "genophen": make_phenotype(architecture, embedding_dim)}
    floor = count_floor(networks["plain"], images, labels, dtype)
    steps = {n: make_step(network, images, labels, dtype) for n, network in networks.items()}
    if DEVICE.type == "cuda":
        steps |= {f"{n}, graph": graphed(network, images, labels, dtype) for n, network in networks.items()}
    rows = compare(steps, "plain", pairs)
    notes = [f"floor: {floor}"]
    notes += [f"{row.name}: {row.seconds / floor.seconds:.2f} times the floor" for row in rows]
    title = f"training step: {name}, batch {batch}, embedding_dim {embedding_dim}, {precision}"
    return Table(title, rows, notes=notes)


def count_floor(network: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype) -> Floor:
    """The floor of a training step of a plain network."""
    stored: list[int] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: stored.append(output.numel()))
        for module in network.modules()
        if isinstance(module, STORED)
    ]
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(network(images), labels).backward()
    for hook in hooks:
        hook.remove()
    parameters = sum(p.numel() for p in network.parameters())
    moved = MOVES_OF_OUTPUT * sum(stored) * dtype.itemsize + MOVES_OF_PARAMETER * parameters * 4
    return Floor(counter.get_total_flops(), moved, _product_speed(dtype), _copy_speed())


def make_step(
    network: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype, *, capturable: bool = False
) -> Callable[[], None]:
    """Forward, backward and a fused Adam update on one batch, in a precision."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, 1e-5, fused=True, capturable=capturable)

    def step() -> None:
        with torch.autocast(DEVICE.type, dtype, enabled=dtype != torch.float32, cache_enabled=False):
            loss = F.cross_entropy(network.train()(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def graphed(network: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype) -> Callable[[], None]:
    """The same step, recorded once as a CUDA graph."""
    step = make_step(network, images, labels, dtype, capturable=True)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # what is done once, and no kernel of a step, must be over
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


def _product_speed(dtype: torch.dtype) -> float:
    """Operations a second in a large matrix product, the best of three."""
    if DEVICE.type == "cuda":
        torch.set_float32_matmul_precision("high")  # cuDNN's convolutions use TF32, too
    a, b = (torch.randn(PRODUCT, PRODUCT, device=DEVICE, dtype=dtype) for _ in range(2))
    a @ b
    return 2 * PRODUCT**3 / min(timed(lambda: a @ b) for _ in range(3))


def _copy_speed() -> float:
    """Bytes read and written a second in a large copy, the best of three."""
    source = torch.zeros(COPY, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * COPY / min(timed(lambda: target.copy_(source)) for _ in range(3))

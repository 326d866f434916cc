"""Recurrent runs: what `genophen export` refuses, and the way out that it names."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from genophen_plugins.architectures.cells import GRUCell, LSTMCell
from genophen_plugins.architectures.recurrent import RecurrentNetwork

import genophen


def run_of(out: Path, **tables: Any) -> genophen.Run:
    sizes = {"train_size": 60, "validation_size": 20, "test_size": 20, "longest_delay": 4}
    return genophen.run(
        {
            "task": {"name": "sequence-classification"},
            "dataset": {"name": "unknown-delay", "unknown-delay": sizes},
            "architecture": {"name": "lstm", "lstm": {"hidden_size": 8}},
            "training": {"rounds": 1, "batch_size": 20},
        }
        | tables,
        out=out,
    )


@pytest.mark.filterwarnings("ignore:.*has more numbers than it writes")
def test_dynamic_and_sequence_runs_are_refused_with_a_way_out(tmp_path: Path) -> None:
    dynamic = run_of(tmp_path / "dynamic", genotype={"name": "hyper-lstm"})
    with pytest.raises(genophen.ConfigError, match="hyper-lstm writes other weights at each step"):
        dynamic.export("torch-export")
    static = run_of(tmp_path / "static", genotype={"name": "direct"})
    with pytest.raises(genophen.ConfigError, match="its task is sequence-classification"):
        static.export("onnx")
    assert not [*tmp_path.rglob("network.*")]
    plain = static.phenotype().materialize()
    x = torch.randn(2, 5, 4)
    torch.testing.assert_close(plain.sequence(x)[0], static.phenotype().sequence(x)[0])


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell])
def test_a_materialised_network_is_a_program_of_torch_export(kind: type[Any]) -> None:
    """One step for any number of sequences, its state in and out."""
    network = RecurrentNetwork([kind(4, 6)], 3, dropout=0.0)
    phenotype = genophen.compile(network, ["cells.*.weight_*"], "hypernetwork", embedding_dim=2).eval()
    plain = phenotype.materialize().requires_grad_(False)
    x = torch.randn(2, 5, 4)
    expected, _ = phenotype.sequence(x)
    _, state = plain(x[:, 0])
    batch = torch.export.Dim("batch")
    shapes = {"x": {0: batch}, "state": torch.utils._pytree.tree_map(lambda _: {0: batch}, state)}
    program = torch.export.export(plain, (x[:, 1], state), dynamic_shapes=shapes)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    step = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    state = genophen.each_tensor(torch.zeros_like, state)
    for t in range(5):
        output, state = step(x[:, t], state)
        torch.testing.assert_close(output, expected[:, t])

"""unit-embeddings: W = Z A Z^T, counts, shared units, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from genophen_plugins.architectures.elman import ElmanNetwork
from genophen_plugins.genotypes.unit_embeddings import UnitEmbeddings
from torch import nn

import genophen
from genophen.testing import check_genotype

PATTERNS = ["input.weight", "recurrent.weight", "output.weight"]


def test_it_keeps_the_contract() -> None:
    check_genotype(UnitEmbeddings)


def test_twelve_numbers_write_the_140_weights_of_ten_units() -> None:
    p = genophen.compile(ElmanNetwork(3, 10, 1, False), PATTERNS, "unit-embeddings", embedding_dim=2)
    assert p.parameter_counts().total == 2 * 3 + 2 * 2 + 1 * 2
    written = p.weights()
    assert sum(weight.numel() for weight in written.values()) == 140
    z = p.genotype.embeddings_10
    torch.testing.assert_close(z.T @ z, 5 * torch.eye(2))
    into, among, out = (block[0, 0] for block in p.genotype.generators)
    torch.testing.assert_close(written["input.weight"], z @ into)
    torch.testing.assert_close(written["recurrent.weight"], z @ among @ z.T / 5)
    torch.testing.assert_close(written["output.weight"], out @ z.T / 5)


def test_learned_embeddings_are_shared_by_layers_of_one_size() -> None:
    options = {"embedding_dim": 2, "embeddings": "learned", "own_up_to": 0}
    p = genophen.compile(ElmanNetwork(3, 10, 1, False), PATTERNS, "unit-embeddings", **options)
    embedded = p.genes("embeddings")
    assert [tuple(p.get_parameter(name).shape) for name in embedded] == [(10, 2), (3, 2)]
    assert p.parameter_counts().total == 3 * 2 + 10 * 2 + 2 * 2 + 2 * 2 + 1 * 2
    p.weights()["recurrent.weight"].sum().backward()
    assert p.get_parameter(embedded[0]).grad.abs().min() > 0


def test_gates_have_matrices_of_their_own_and_a_start_of_the_usual_size() -> None:
    p = genophen.compile(nn.GRU(40, 60), ["weight_*"], "unit-embeddings", embedding_dim=8)
    written = p.weights()
    assert {name: tuple(weight.shape) for name, weight in written.items()} == {
        "weight_ih_l0": (180, 40),
        "weight_hh_l0": (180, 60),
    }
    assert p.parameter_counts().kernel == 2 * 3 * 8 * 8
    for name, weight in written.items():
        expected = 2 / p.targets[name].fan_in
        assert 0.6 * expected < weight.var().item() < 1.6 * expected


def test_each_place_of_a_kernel_has_a_generator() -> None:
    p = genophen.compile(nn.Conv2d(20, 30, 3), ["weight"], "unit-embeddings", embedding_dim=5)
    assert p.parameter_counts().kernel == 9 * 5 * 5
    g, weight = p.genotype, p.weights()["weight"]
    expected = (
        g.embeddings_30 @ g.generators[0][0, 5] @ g.embeddings_20.T / 4
    )  # places row by row: 5 is (1, 2)
    torch.testing.assert_close(weight[:, :, 1, 2], expected)


def test_fixed_embeddings_are_no_genes() -> None:
    with pytest.raises(genophen.ConfigError, match="has no embeddings"):
        genophen.compile(nn.Linear(9, 9), ["weight"], "unit-embeddings").genes("embeddings")

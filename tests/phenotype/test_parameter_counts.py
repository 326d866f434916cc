"""Every row of the report's tables, counted by its formula."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from conftest import ROOT
from helpers import plugin_class

from genophen.phenotype.compiling import compile_phenotype

ROWS = json.loads((ROOT / "tests" / "report_tables.json").read_text())
DIRECT = {"mnist-cnn": 8_650, "vgg-block1": 526_154, "vgg-block2": 264_010, "vgg-block3": 132_938}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"table{row['table']}-{row['model']}")
def test_counts_are_those_of_the_formula(row: dict[str, Any]) -> None:
    architecture = plugin_class("architecture", row["architecture"])()
    match = re.fullmatch(r"Hyper(\d+)_(\d+)", row["model"])
    genotype = plugin_class("genotype", "hypernetwork" if match else "direct")
    options = genotype.Options()
    if match:
        options = genotype.Options(embedding_dim=int(match[1]), projection_dim=int(match[2]))
    counts = compile_phenotype(
        architecture.build(), architecture.expressed(), genotype, options
    ).parameter_counts()
    assert counts.kernel == row["kernel_parameters_by_formula"]
    assert counts.direct == DIRECT[row["architecture"]]
    assert counts.total == counts.kernel + counts.direct
    assert counts.embedding + counts.generator == (counts.kernel if match else 0)


def test_all_24_rows_are_there() -> None:
    assert len(ROWS) == 24


def test_an_embedding_is_one_vector_a_block() -> None:
    architecture = plugin_class("architecture", "vgg-block3")()
    genotype = plugin_class("genotype", "hypernetwork")
    options = genotype.Options(embedding_dim=8)
    phenotype = compile_phenotype(architecture.build(), architecture.expressed(), genotype, options)
    assert phenotype.parameter_counts().embedding == 31 * 8

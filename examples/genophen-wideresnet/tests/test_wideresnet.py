import pytest
import torch
from genophen_wideresnet import WideResNet, WideResNetOptions

import genophen
from genophen.testing import check_architecture


@pytest.mark.parametrize(("depth", "widen_factor"), [(10, 1), (16, 2)])
def test_it_keeps_the_contract(depth, widen_factor):
    check_architecture(WideResNet, WideResNetOptions(depth=depth, widen_factor=widen_factor))


@pytest.mark.parametrize(
    ("depth", "widen_factor", "millions"), [(40, 1, 0.6), (40, 4, 8.9), (16, 8, 11.0), (28, 10, 36.5)]
)
def test_the_parameter_counts_are_those_of_the_paper(depth, widen_factor, millions):
    with torch.device("meta"):  # shapes alone
        network = WideResNet(WideResNetOptions(depth=depth, widen_factor=widen_factor)).build()
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == millions


def test_every_3x3_kernel_but_the_first_is_expressed():
    architecture = WideResNet()
    network = architecture.build()
    phenotype = genophen.compile(network, architecture.expressed(), embedding_dim=4)
    kernels = {name for name, p in network.named_parameters() if p.shape[2:] == (3, 3)}
    assert set(phenotype.targets) == kernels - {"conv.weight"}
    assert len(phenotype.targets) == 6


def test_a_depth_that_makes_no_equal_groups_is_refused():
    with pytest.raises(ValueError, match="6 n \\+ 4"):
        WideResNetOptions(depth=12)

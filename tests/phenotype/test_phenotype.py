"""Phenotypes: equal to the plain network, cached in evaluation, materialized free of genophen."""

from __future__ import annotations

import pickle

import pytest
import torch
from helpers import compiled, plugin_class, small_network
from torch import nn
from torch.nn import functional as F

import genophen
from genophen.phenotype.compiling import compile_phenotype

ARCHITECTURES = ["mnist-cnn", "vgg-block1", "vgg-block2", "vgg-block3"]


def of_architecture(name: str) -> tuple[genophen.Architecture, genophen.Phenotype]:
    torch.manual_seed(3)
    architecture = plugin_class("architecture", name)()
    genotype = plugin_class("genotype", "hypernetwork")
    phenotype = compile_phenotype(architecture.build(), architecture.expressed(), genotype, seed=5)
    return architecture, phenotype


def test_mnist_cnn_equals_the_network_written_out_by_hand() -> None:
    architecture, phenotype = of_architecture("mnist-cnn")
    images = torch.randn(5, *architecture.input_shape)
    own, written = dict(phenotype.network.named_parameters()), phenotype.weights()
    x = F.max_pool2d(F.relu(F.conv2d(images, own["conv1.weight"], own["conv1.bias"], padding=3)), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, written["conv2.weight"], padding=3)), 2)
    by_hand = x.flatten(1) @ own["dense.weight"].T + own["dense.bias"]
    torch.testing.assert_close(phenotype(images), by_hand)


def test_vgg_block3_equals_the_network_written_out_by_hand() -> None:
    architecture, phenotype = of_architecture("vgg-block3")
    phenotype.eval()
    images = torch.randn(5, *architecture.input_shape)
    own, written = dict(phenotype.network.named_parameters()), phenotype.weights()
    x = F.relu(F.conv2d(images, own["conv1_1.weight"], own["conv1_1.bias"], padding=1))
    x = F.max_pool2d(F.relu(F.conv2d(x, written["conv1_2.weight"], padding=1)), 2)
    for block in (2, 3):
        for index in (1, 2):
            x = F.relu(F.conv2d(x, written[f"conv{block}_{index}.weight"], padding=1))
        x = F.max_pool2d(x, 2)
    x = F.relu(F.linear(x.flatten(1), own["dense1.weight"], own["dense1.bias"]))
    by_hand = F.linear(x, own["dense2.weight"], own["dense2.bias"])
    torch.testing.assert_close(phenotype(images), by_hand)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_materialize_gives_a_plain_module_with_equal_outputs(name: str) -> None:
    architecture, phenotype = of_architecture(name)
    phenotype.eval()
    plain = phenotype.materialize()
    images = torch.randn(3, *architecture.input_shape)
    assert torch.equal(plain(images), phenotype(images))
    assert b"genophen" not in pickle.dumps(plain)
    assert plain.state_dict().keys() == architecture.build().state_dict().keys()
    for module in plain.modules():
        assert type(module).__module__.startswith("torch.")


def test_materialized_weights_are_copies() -> None:
    phenotype = compiled(embedding_dim=4)
    plain = phenotype.materialize()
    before = plain[0].weight.clone()
    with torch.no_grad():
        for parameter in phenotype.parameters():
            parameter.add_(1)
    assert torch.equal(plain[0].weight, before)
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in plain.parameters())


def test_expressed_parameters_are_not_parameters_of_the_phenotype() -> None:
    phenotype = compiled(embedding_dim=4)
    names = dict(phenotype.named_parameters())
    assert [name for name in names if name.startswith("network.0.")] == ["network.0.bias"]
    assert "network.1.weight" in names  # batch norm's own
    assert {name.partition(".")[0] for name in names} == {"genotype", "network"}


def test_compile_leaves_the_network_as_it_was() -> None:
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    phenotype = genophen.compile(network, ["0.weight"], embedding_dim=4)
    phenotype(torch.randn(4, 3, 6, 6)).sum().backward()
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())


def test_the_direct_genotype_keeps_the_networks_own_weights() -> None:
    network = small_network().eval()
    phenotype = compiled(genotype="direct").eval()
    images = torch.randn(4, 3, 6, 6)
    assert torch.equal(phenotype(images), network(images))
    counts = phenotype.parameter_counts()
    assert counts.total == sum(parameter.numel() for parameter in network.parameters())
    assert (counts.embedding, counts.generator) == (0, 0)


def test_batch_norm_buffers_are_updated_in_training_and_used_in_evaluation() -> None:
    phenotype = compiled(embedding_dim=4)
    before = phenotype.network[1].running_mean.clone()
    phenotype.train()(torch.randn(8, 3, 6, 6))
    assert not torch.equal(phenotype.network[1].running_mean, before)
    assert int(phenotype.network[1].num_batches_tracked) == 1
    phenotype.eval()
    images = torch.randn(8, 3, 6, 6)
    one_by_one = torch.cat([phenotype(image[None]) for image in images])
    torch.testing.assert_close(phenotype(images), one_by_one)
    assert int(phenotype.network[1].num_batches_tracked) == 1


class Counting(genophen.Genotype):
    name = "counting"
    description = "counts how often it expresses"

    def __init__(self, options, targets, generator):
        super().__init__()
        self.targets, self.calls = targets, 0
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    def express(self):
        self.calls += 1
        weights = {n: t for n, t in self.targets.items() if not t.is_bias}
        return {name: self.scale * t.initial + self.offset for name, t in weights.items()}

    def genes(self, scope):
        return ["scale"]


def counting_phenotype() -> genophen.Phenotype:
    phenotype = genophen.compile(small_network(), ["0.weight"], Counting)
    phenotype.genotype.calls = 0
    return phenotype


def test_evaluation_expresses_once_however_many_batches() -> None:
    phenotype = counting_phenotype().eval()
    with torch.no_grad():
        for _ in range(5):
            phenotype(torch.randn(2, 3, 6, 6))
    assert phenotype.genotype.calls == 1


def through_data(phenotype: genophen.Phenotype) -> None:
    phenotype.genotype.scale.data.mul_(2)


def through_data_swap(phenotype: genophen.Phenotype) -> None:
    phenotype.genotype.scale.data = torch.tensor(3.0)


def through_no_grad(phenotype: genophen.Phenotype) -> None:
    with torch.no_grad():
        phenotype.genotype.scale.add_(1)


def through_state_dict(phenotype: genophen.Phenotype) -> None:
    state = phenotype.state_dict()
    state["genotype.scale"] = torch.tensor(5.0)
    phenotype.load_state_dict(state)


def through_a_buffer(phenotype: genophen.Phenotype) -> None:
    phenotype.genotype.offset.fill_(0.5)


@pytest.mark.parametrize(
    "change", [through_data, through_data_swap, through_no_grad, through_state_dict, through_a_buffer]
)
def test_evaluation_notices_every_way_to_change_a_parameter(change) -> None:
    phenotype = counting_phenotype().eval()
    images = torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        before = phenotype(images)
        change(phenotype)
        after = phenotype(images)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, phenotype.materialize()(images))


def test_gradients_flow_in_eval_mode_too_and_twice() -> None:
    phenotype, images = compiled(embedding_dim=4).eval(), torch.randn(2, 3, 6, 6)
    embeddings = phenotype.genotype.generators["3x3"].embeddings
    (expected,) = torch.autograd.grad(phenotype(images).sum(), embeddings)
    assert expected.abs().sum() > 0
    for times in (1, 2):
        phenotype(images).sum().backward()
        torch.testing.assert_close(embeddings.grad, times * expected)


def test_inference_mode_first_does_not_spoil_training_afterwards() -> None:
    phenotype = compiled(embedding_dim=4).eval()
    with torch.inference_mode():
        phenotype(torch.randn(2, 3, 6, 6))
    phenotype.genotype.requires_grad_(False)
    with torch.no_grad():
        phenotype(torch.randn(2, 3, 6, 6))
    phenotype.train()(torch.randn(2, 3, 6, 6)).sum().backward()


def test_tied_weights_count_once_and_stay_tied() -> None:
    network = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1))
    network[1].weight = network[0].weight
    phenotype = genophen.compile(network, ["1.weight"], embedding_dim=4)
    assert [name for name in phenotype.targets if name.endswith("weight")] == ["0.weight"]
    assert phenotype.parameter_counts().embedding == 4
    plain = phenotype.materialize()
    assert plain[0].weight is plain[1].weight
    images = torch.randn(2, 16, 6, 6)
    torch.testing.assert_close(phenotype(images), plain(images))
    state = phenotype.state_dict()
    assert not any(name.startswith("network") and name.endswith("weight") for name in state)


def test_samples_are_counted_where_they_run() -> None:
    phenotype = compiled(embedding_dim=4)
    phenotype(torch.randn(7, 3, 6, 6)).sum().backward()
    with torch.no_grad():
        phenotype(torch.randn(5, 3, 6, 6))
        with phenotype.samples.paused():
            phenotype(torch.randn(11, 3, 6, 6))
    assert (phenotype.samples.forward_samples, phenotype.samples.backward_samples) == (12, 7)
    assert phenotype.samples.sample_evaluations == 12 + 2 * 7


def test_what_a_copy_counted_elsewhere_is_added_once() -> None:
    phenotype, copy = compiled(), compiled()
    phenotype.samples.count(5, None)
    for _ in range(2):
        copy(torch.randn(3, 3, 6, 6)).sum().backward()
        phenotype.samples.add(copy.samples.take())
    assert (phenotype.samples.forward_samples, phenotype.samples.backward_samples) == (11, 6)
    assert copy.samples.sample_evaluations == 0


def test_double_precision_networks_get_double_precision_genotypes() -> None:
    phenotype = genophen.compile(small_network().double(), ["3.weight"], embedding_dim=4)
    assert phenotype(torch.randn(2, 3, 6, 6, dtype=torch.float64)).dtype == torch.float64
    assert all(parameter.dtype == torch.float64 for parameter in phenotype.parameters())


class Wrong(Counting):
    name = "wrong"

    def express(self):
        return {name: torch.zeros(1) for name in self.targets}


class Silent(Counting):
    name = "silent"

    def express(self):
        return {}


def test_a_genotype_that_writes_another_shape_is_named_with_both_shapes() -> None:
    with pytest.raises(genophen.PluginError) as caught:
        genophen.compile(small_network(), ["0.weight"], Wrong)
    assert "wrote shape (1,) for '0.weight'" in str(caught.value)
    assert "(20, 3, 3, 3)" in str(caught.value)


def test_a_genotype_that_writes_nothing_is_named() -> None:
    with pytest.raises(genophen.PluginError, match=r"wrote nothing for '0\.weight'"):
        genophen.compile(small_network(), ["0.weight"], Silent)


def test_compile_names_an_unknown_option_and_genotype() -> None:
    with pytest.raises(genophen.ConfigError, match="did you mean embedding_dim"):
        genophen.compile(small_network(), ["0.weight"], embeding_dim=4)
    with pytest.raises(genophen.PluginError, match="did you mean hypernetwork"):
        genophen.compile(small_network(), ["0.weight"], "hypernetwrok")


class SharedModule(nn.Module):
    """One convolution used in two places, under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.second = self.first
        self.dense = nn.Linear(4 * 36, 2)

    def forward(self, images):
        return self.dense(self.second(self.first(images).relu()).flatten(1))


def test_a_module_in_two_places_stays_one_module() -> None:
    network = SharedModule()
    phenotype = genophen.compile(network, ["first.weight"], "direct")
    names, counts = dict(phenotype.named_parameters()).keys(), phenotype.parameter_counts()
    images = torch.randn(2, 4, 6, 6)
    assert torch.equal(phenotype(images), network(images))
    phenotype(images).sum().backward()
    assert dict(phenotype.named_parameters()).keys() == names
    assert phenotype.parameter_counts() == counts
    plain = phenotype.materialize()
    assert plain.first is plain.second
    assert torch.equal(plain(images), network(images))


def test_modes_are_kept() -> None:
    network = small_network()
    network[1].eval()
    phenotype = genophen.compile(network, ["0.weight"], embedding_dim=4)
    assert phenotype.training
    assert not phenotype.materialize()[1].training
    evaluated = genophen.compile(network.eval(), ["0.weight"], embedding_dim=4)
    assert not evaluated.training
    images = torch.randn(4, 3, 6, 6)
    assert torch.equal(evaluated.materialize()(images), evaluated(images))


class Listing(Counting):
    name = "listing"

    def express(self):
        return {name: target.initial.tolist() for name, target in self.targets.items()}


class Nameless(genophen.Genotype):
    def express(self):
        return {}

    def genes(self, scope):
        return []


def test_what_cannot_be_compiled_is_explained() -> None:
    with pytest.raises(genophen.PluginError, match=r"express\(\) returned dict of list"):
        genophen.compile(small_network(), ["0.weight"], Listing)
    with pytest.raises(genophen.PluginError, match="Nameless: it sets no 'name'"):
        genophen.compile(small_network(), ["0.weight"], Nameless)
    with pytest.raises(genophen.PluginError, match=r"Linear, which is no subclass of genophen\.Genotype"):
        genophen.compile(small_network(), ["0.weight"], nn.Linear)
    with pytest.raises(genophen.ConfigError, match="found:   a function"):
        genophen.compile(test_modes_are_kept, ["0.weight"])


@pytest.mark.parametrize("training", [True, False])
def test_weights_lie_in_memory_in_the_order_of_the_images(training: bool) -> None:
    phenotype = genophen.compile(nn.Sequential(nn.Conv2d(3, 20, 3)), "0.weight", embedding_dim=2)
    phenotype.train(training)
    images = torch.randn(2, 3, 6, 6)
    last = images.to(memory_format=torch.channels_last)
    for _ in range(2):  # what one call keeps is of no harm to the next
        with torch.no_grad():
            usual, in_order = phenotype(images), phenotype(last)
        assert usual.is_contiguous()
        assert in_order.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(usual, in_order)
    for weight in (phenotype.weights()["0.weight"], phenotype.materialize()[0].weight):
        assert weight.is_contiguous()

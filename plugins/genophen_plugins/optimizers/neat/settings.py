"""Settings of NEAT, and how neat-python takes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

import genophen
from genophen_plugins.optimizers.evolution.options import FitnessOptions

Rate = Annotated[float, Field(ge=0, le=1)]
Activation = Literal["sin", "cos", "gauss", "tanh", "identity", "abs", "relu", "sigmoid"]
Aggregation = Literal["sum", "mean", "product", "max", "min"]


class NEATOptions(FitnessOptions):
    population_size: int = Field(50, ge=4, le=100_000, description="graphs in a generation")
    generations_per_round: int = Field(20, ge=1, le=1_000_000, description="generations between validations")
    warm_start: genophen.PathOption | None = Field(
        None, description="run directory whose best graph to start from: same architecture and genotype"
    )
    activations: tuple[Activation, ...] = Field(
        ("sin", "cos", "gauss", "tanh", "identity"), min_length=1, description="what nodes may come to do"
    )
    aggregations: tuple[Aggregation, ...] = Field(
        ("sum",), min_length=1, description="how nodes may come to put their inputs together"
    )
    node_add: Rate = Field(0.1, description="probability that a child gets a node within a connection")
    node_delete: Rate = Field(0.03, description="probability that it loses a node")
    connection_add: Rate = Field(0.2, description="probability that it gets a connection")
    connection_delete: Rate = Field(0.05, description="probability that it loses one")
    weight_mutate: Rate = Field(0.8, description="probability that a weight or bias is changed")
    weight_power: float = Field(0.3, gt=0, le=1e6, description="standard deviation of such a change")
    weight_replace: Rate = Field(0.05, description="probability that it is drawn anew")
    activation_mutate: Rate = Field(0.05, description="probability that a node gets another activation")
    stdev_init: float = Field(
        0.5, ge=0, le=1e6, description="how far the first graphs' weights lie from the start's, but for one"
    )
    compatibility_threshold: float = Field(
        3.0, gt=0, le=1e6, description="genetic distance within which graphs are one species"
    )
    elitism: int = Field(1, ge=0, le=1000, description="best graphs of each species that go on unchanged")
    survival_threshold: float = Field(
        0.3, gt=0, le=1, description="share of each species that may have children"
    )
    max_stagnation: int = Field(
        20, ge=1, le=1_000_000, description="generations without progress after which a species ends"
    )
    species_elitism: int = Field(2, ge=0, le=1000, description="species that never end, the best")


def genome_parameters(options: NEATOptions, num_inputs: int, num_outputs: int) -> dict[str, Any]:
    """The section DefaultGenome of a config of neat-python, whose values are text."""
    rates = {"mutate_rate": options.weight_mutate, "replace_rate": options.weight_replace}
    number = {"init_mean": 0.0, "init_stdev": 1.0, "init_type": "gaussian", "max_value": 1e3, **rates}
    number |= {"min_value": -1e3, "mutate_power": options.weight_power}
    fixed = {**number, "init_stdev": 0.0, "mutate_rate": 0.0, "replace_rate": 0.0, "init_mean": 1.0}
    several = len(options.aggregations) > 1
    parameters = {
        "num_inputs": num_inputs,
        "num_outputs": num_outputs,
        "num_hidden": 0,
        "feed_forward": True,
        "initial_connection": "full_direct",
        "single_structural_mutation": False,
        "structural_mutation_surer": "default",
        "compatibility_disjoint_coefficient": 1.0,
        "compatibility_weight_coefficient": 0.5,
        "conn_add_prob": options.connection_add,
        "conn_delete_prob": options.connection_delete,
        "node_add_prob": options.node_add,
        "node_delete_prob": options.node_delete,
        "activation_default": "random",
        "activation_options": " ".join(options.activations),
        "activation_mutate_rate": options.activation_mutate,
        "aggregation_default": "random",
        "aggregation_options": " ".join(options.aggregations),
        "aggregation_mutate_rate": options.activation_mutate if several else 0.0,
        "enabled_default": True,
        "enabled_mutate_rate": 0.01,
        "enabled_rate_to_true_add": 0.0,
        "enabled_rate_to_false_add": 0.0,
    }
    for name, values in (("weight", number), ("bias", number), ("response", fixed), ("time_constant", fixed)):
        parameters |= {f"{name}_{key}": value for key, value in values.items()}
    return {key: str(value) for key, value in parameters.items()}

"""Settings of the evolution strategies, with the limits that a config is held to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

import genophen


class FitnessOptions(genophen.Options):
    """What candidates are ranked by, whatever searches them."""

    fitness: Literal["auto", "cross-entropy", "squared-error", "accuracy"] = Field(
        "auto",
        description="what candidates are ranked by; 'squared-error': the outputs' distance from one-hot "
        "labels; 'auto': squared-error for a ridge readout, which minimises that, else the task's fitness "
        "(of classification: cross-entropy)",
    )
    readout: Literal["direct", "ridge", "svm"] = Field(
        "direct",
        description="'ridge': each candidate's last dense layer is solved in closed form on training images "
        "and judged on others; 'svm': so, too, but the layer that is kept is a support vector machine; "
        "'direct': the layer is as the genes, or the seed, have it",
    )
    ridge_lambda: float = Field(
        30.0, gt=0, le=1e9, description="penalty on a solved readout; it weighs as much as that many images"
    )
    ridge_images: int | None = Field(
        None,
        ge=4,
        description="training images of a generation on which readouts are solved and judged (default: "
        "8,000, or all where there are fewer)",
    )
    ridge_folds: int = Field(
        4, ge=2, le=100, description="parts of these images; each is judged by a readout solved on the others"
    )
    memory_mb: int = Field(
        10, ge=1, le=1_000_000, description="MiB of activations worked on at a time; more is seldom faster"
    )

    @model_validator(mode="after")
    def _folds_hold_images(self) -> FitnessOptions:
        if self.ridge_images is not None and self.ridge_images < 2 * self.ridge_folds:
            raise ValueError(
                f"ridge_images of at least 2 a fold ({2 * self.ridge_folds}), not {self.ridge_images}"
            )
        return self


class EvolutionOptions(FitnessOptions):
    genes: Literal["embeddings", "genotype", "all"] = Field(
        "genotype", description="what is searched; 'all': the direct parameters, too (less a solved readout)"
    )
    population_size: int = Field(32, ge=4, le=100_000, description="candidates in a generation")
    generations_per_round: int = Field(20, ge=1, le=1_000_000, description="generations between validations")
    stdev_init: float = Field(
        0.1, gt=0, description="width of the search at the start, times each tensor's root mean square"
    )
    gene_scale: Literal["tensors", "one"] = Field(
        "tensors", description="a gene's unit: the root mean square of its tensor at the start, or 1"
    )
    center_init: Literal["start", "zeros"] = Field(
        "start", description="where the search begins: at the genotype's initial (or warm) values, or at zero"
    )
    warm_start: genophen.PathOption | None = Field(
        None,
        description="run directory whose best weights to start from: same architecture and genotype; a "
        "readout that is solved may have other inputs there",
    )
    target: bool = Field(
        True,
        description="end the run with the first candidate that passes the task's own test, if it has one",
    )
    num_workers: int = Field(0, ge=0, le=10_000, description="Ray actors that share a generation; 0: none")
    ray_address: str = Field("", description="a Ray cluster to join; empty: a Ray on this machine")


class CMAESOptions(EvolutionOptions):
    separable: bool | None = Field(
        None,
        description="a diagonal covariance matrix (Ros & Hansen 2008) instead of a full one (default: for "
        "more than 1,500 genes)",
    )
    stdev_min: float | None = Field(
        None,
        gt=0,
        description="the width that no coordinate's search falls below, in the units of stdev_init",
    )
    restart_after: int | None = Field(
        None, ge=1, description="begin anew after so many generations without a better best candidate"
    )
    restart_after_tests: int | None = Field(
        None,
        ge=1,
        description="begin anew after so many best candidates that were worth the task's own test of success "
        "and failed it",
    )
    restart_growth: float = Field(
        1.0, ge=1, le=4, description="how many times as large the population is after a restart"
    )


class PGPEOptions(EvolutionOptions):
    population_size: int = Field(
        32, ge=4, le=100_000, multiple_of=2, description="candidates in a generation, drawn in mirrored pairs"
    )

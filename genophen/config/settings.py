"""The settings that every run has, beside those of its plugins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from genophen.contracts.options import Options, PathOption

#: Settings of a training that leave its numbers as they are.
WITHOUT_EFFECT = ("device", "checkpoint_seconds", "checkpoint_rounds")
#: Larger batches are a slip of the hand: their activations alone would fill the memory.
MAX_BATCH = 65_536


def default_data_dir() -> Path:
    """Where data sets are kept unless a run says otherwise: GENOPHEN_DATA, or the user's cache folder."""
    if given := os.environ.get("GENOPHEN_DATA"):
        return Path(given).absolute()
    return cache_folder() / "data"


def cache_folder() -> Path:
    """The folder of the user's for what can be had again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genophen"


class DataSettings(Options):
    """What every data set takes, beside its own settings."""

    data_dir: PathOption = Field(
        default_factory=default_data_dir,
        description="folder of the data sets (default: GENOPHEN_DATA, or the user's cache)",
    )
    validation_size: int | None = Field(
        None,
        ge=1,
        description="training images held out for validation (default: a tenth, at most 5000); "
        "not for data sets that have a validation split of their own",
    )
    split_seed: int = Field(0, ge=0, lt=2**63, description="seed of the draw of the validation images")
    storage: Literal["auto", "memory", "stream"] = Field(
        "auto",
        description="'memory': images on the device as uint8; 'stream': read batch by batch; "
        "'auto': stream what would take over half of the memory",
    )


class TrainingSettings(Options):
    """How long and on what to train, the same for every optimizer."""

    rounds: int = Field(30, ge=1, le=1_000_000, description="rounds, each ending in a validation")
    batch_size: int = Field(128, ge=1, le=MAX_BATCH, description="images in a training batch")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of every random draw of the training")
    patience: int = Field(
        10,
        ge=0,
        description="stop after so many rounds without a better validation score; 0: never; "
        "has no effect with a schedule laid out over all rounds, or with keep = 'last'",
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="weights that are saved and tested: of the round with the best validation score, or of "
        "the last; for a search that validation images cannot tell the rounds of apart",
    )
    max_sample_evaluations: int = Field(0, ge=0, description="budget of sample evaluations; 0: none")
    max_seconds: float = Field(0.0, ge=0, description="budget of seconds; 0: none (not bit-reproducible)")
    checkpoint_seconds: float | None = Field(
        None,
        ge=0,
        description="save a checkpoint after so many seconds; 0: after every step "
        "(default: 30, or more where saving would take 2% of the time)",
    )
    checkpoint_rounds: int = Field(
        0, ge=0, description="also save one every so many rounds; 0: by time alone"
    )
    evaluation_batch_size: int = Field(
        500, ge=1, le=MAX_BATCH, description="images in a validation or test batch"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="arithmetic of the main network in training; kernels are generated, and validation and "
        "test measured, in float32 in any case",
    )
    direct_initialization: Literal["torch", "gabor"] = Field(
        "torch", description="unexpressed first convolutions: PyTorch's initial values, or Gabor filters"
    )
    memory_format: Literal["auto", "contiguous", "channels-last"] = Field(
        "auto",
        description="order of pixels and channels in memory; 'auto': channels-last on a CPU (faster), "
        "unless the network's code cannot take it",
    )
    device: str = Field("auto", description="'cpu', 'cuda', 'cuda:1', ...; 'auto': a GPU if there is one")

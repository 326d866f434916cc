"""Settings of the static hypernetwork."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

import genophen

#: Numbers in the first layer of one generator; the whole VGG-Block3 has 204,570.
MAX_GENERATOR = 2**24


class HypernetworkOptions(genophen.KernelOptions):
    embedding_dim: int = Field(
        16, ge=1, le=1024, description="N_z, numbers in the embedding of each basic kernel"
    )
    projection_dim: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="d, hidden width of the generator (default: the same as embedding_dim)",
    )
    basis_channels: int = Field(
        16, ge=1, le=256, description="B, input and output channels of a basic kernel"
    )
    initialization: Literal["fan-in", "smooth", "small"] = Field(
        "fan-in",
        description="'fan-in': kernels start at the variance 2 / fan_in; 'smooth': so too, each a smooth "
        "pattern over its rows and columns; 'small': every tensor normal with standard deviation 0.01",
    )

    @property
    def hidden_width(self) -> int:
        return self.embedding_dim if self.projection_dim is None else self.projection_dim

    @field_validator("initialization", mode="before")
    @classmethod
    def _report_is_called_small(cls, value: object) -> object:
        if value == "report":
            raise ValueError("'small', as 'report' is called now: the report names no initial values")
        return value

    @model_validator(mode="after")
    def _generator_fits_memory(self) -> HypernetworkOptions:
        count = self.basis_channels * self.hidden_width * self.embedding_dim
        if count > MAX_GENERATOR:
            raise ValueError(
                f"basis_channels * projection_dim * embedding_dim up to {MAX_GENERATOR:,}, not {count:,}: "
                "the generator would have more numbers than any network it is meant for"
            )
        return self

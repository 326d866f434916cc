"""The device that a run computes on."""

from __future__ import annotations

import torch

from genophen.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto`: the first GPU, or else the CPU.

    Raises:
        ConfigError: for a device that torch does not know or this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0][:200].partition("Expected one of")[0] or "no such device"
        raise ConfigError(
            f"cannot use the device {name!r}",
            found=reason,
            allowed="auto (a GPU if there is one), cpu, cuda, cuda:0, ...",
            next_step="--device cpu runs everywhere; `genophen doctor` shows what this machine has",
        ) from None
    return device

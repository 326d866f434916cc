"""What a run was made with: versions, machine, plugins, data."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

PACKAGES = ("genophen", "torch", "torchvision", "numpy", "pydantic", "pluggy", "safetensors", "scikit-learn")


def package_versions() -> dict[str, str | None]:
    """Installed version of each package that a result depends on; None where it is absent."""
    return {name: _version(name) for name in PACKAGES}


def machine(device: torch.device) -> dict[str, Any]:
    """Python, system, processor, device and threads."""
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "processor": _processor(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
    }


def git_commit() -> str | None:
    """The commit of the working directory, with `-dirty` where files differ; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return torch.__version__ if package == "torch" else version(package)  # torch's own names its build
    except PackageNotFoundError:
        return None

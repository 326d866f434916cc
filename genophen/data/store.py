"""Where images are kept: on the device, fitted to the network, or in their files, to be streamed."""

from __future__ import annotations

import os
from dataclasses import replace

import torch

from genophen.contracts.dataset import Data, Split
from genophen.contracts.task import TaskContext
from genophen.data.batches import fit_images


def store(data: Data, input_shape: tuple[int, int, int], context: TaskContext) -> Data:
    """The splits as batches are taken from them: resized and on the device, or to be streamed."""
    channels, height, width = data.train.images.shape[1:]
    size = input_shape[1:]
    if size != (height, width):
        context.notify(f"images are resized from {height}x{width} to {size[0]}x{size[1]}")
    assert data.validation is not None
    count = len(data.train) + len(data.validation) + len(data.test)
    num_bytes = count * channels * size[0] * size[1]
    device, storage = context.device, context.storage
    if storage == "stream" or (storage == "auto" and num_bytes > _memory_bytes(device) / 2):
        context.notify(f"images ({num_bytes / 2**30:.1f} GiB) are streamed batch by batch")
        return data
    shape = (channels, size[0], size[1])
    return replace(
        data,
        train=_in_memory(data.train, shape, device),
        validation=_in_memory(data.validation, shape, device),
        test=_in_memory(data.test, shape, device),
    )


def _in_memory(split: Split, shape: tuple[int, int, int], device: torch.device) -> Split:
    if tuple(split.images.shape[1:]) == shape:
        return split.to(device)
    fitted = [(fit_images(images, shape).to(device), labels) for images, labels in split.chunks()]
    images, labels = zip(*fitted, strict=True)
    return Split(torch.cat(images), torch.cat(labels).to(device))


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

"""The formats of an export: how each is written, and how it is read without genophen's classes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from genophen.data.batches import Normalization, fit_images
from genophen.errors import ConfigError, GenophenError, unknown_name
from genophen.export.deployed import DeployedNetwork
from genophen.storage.installed import install_command

#: Raw images, uint8 (N, C, H, W), to logits (N, num_outputs).
Predict = Callable[[Tensor], Tensor]
#: Under this name, formats that hold text beside the network hold its description, as JSON.
ABOUT = "genophen"


@dataclass(frozen=True)
class Format:
    """One file format: `read` is given the content and a network of the same structure, without weights."""

    suffix: str
    write: Callable[[DeployedNetwork], bytes]
    read: Callable[[bytes, nn.Module], Predict]
    #: Packages that genophen itself does not need.
    packages: tuple[str, ...] = ()
    extra: str = ""


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        ConfigError: where there is none.
        GenophenError: where it needs packages that are not installed.
    """
    attempted = f"cannot export to the format {name!r}"
    if name not in FORMATS:
        raise ConfigError(attempted, **unknown_name("format", [*FORMATS], name))
    found = FORMATS[name]
    missing = [package for package in found.packages if find_spec(package) is None]
    if missing:
        raise GenophenError(
            attempted,
            found=f"not installed: {', '.join(missing)}",
            next_step=install_command(found.extra),
        )
    return found


def _write_torch(deployed: DeployedNetwork) -> bytes:
    buffer = BytesIO()
    torch.save({"about": deployed.about, "state_dict": _state(deployed.network)}, buffer)
    return buffer.getvalue()


def _read_torch(content: bytes, network: nn.Module) -> Predict:
    saved = torch.load(BytesIO(content), weights_only=True)
    return _rebuilt(network, saved["state_dict"], saved["about"])


def _write_safetensors(deployed: DeployedNetwork) -> bytes:
    return safetensors.torch.save(_state(deployed.network), {ABOUT: json.dumps(deployed.about)})


def _read_safetensors(content: bytes, network: nn.Module) -> Predict:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    about = json.loads(header["__metadata__"][ABOUT])
    return _rebuilt(network, safetensors.torch.load(content), about)


def _write_torch_export(deployed: DeployedNetwork) -> bytes:
    buffer = BytesIO()
    about = {f"{ABOUT}.json": json.dumps(deployed.about)}
    torch.export.save(_traced(deployed), buffer, extra_files=about)
    return buffer.getvalue()


def _read_torch_export(content: bytes, network: nn.Module) -> Predict:
    predict: Predict = torch.export.load(BytesIO(content)).module()
    return predict


def _write_onnx(deployed: DeployedNetwork) -> bytes:
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    program = torch.onnx.export(_traced(deployed), dynamo=True, verbose=False, **names)
    assert program is not None
    program.model.metadata_props[ABOUT] = json.dumps(deployed.about)
    content: bytes = program.model_proto.SerializeToString()
    return content


def _read_onnx(content: bytes, network: nn.Module) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


#: What `genophen export --format NAME` writes.
FORMATS = {
    "torch": Format(".pt", _write_torch, _read_torch),
    "safetensors": Format(".safetensors", _write_safetensors, _read_safetensors),
    "onnx": Format(".onnx", _write_onnx, _read_onnx, ("onnx", "onnxscript", "onnxruntime"), "onnx"),
    "torch-export": Format(".pt2", _write_torch_export, _read_torch_export),
}


def _state(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers; tied ones once for each name, since not every format lets tensors share."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}


def _traced(deployed: DeployedNetwork) -> torch.export.ExportedProgram:
    """The network as a program for any number of images."""
    example = torch.zeros(2, *deployed.about["image_shape"], dtype=torch.uint8)
    shapes = {"images": {0: torch.export.Dim("batch")}}
    for strict in (False, True):  # the second way is slower, and knows more of Python, such as len(x)
        try:
            return torch.export.export(deployed, (example,), dynamic_shapes=shapes, strict=strict)
        except Exception as error:  # tracing runs the architecture's own code
            reason = error
    raise GenophenError(
        f"cannot trace the network of {deployed.about['architecture']} for any number of images",
        found=f"{type(reason).__name__}: {str(reason).partition(chr(10))[0]}",
        allowed="a network whose steps do not depend on the pixels, or on how many images there are",
        next_step="--format safetensors or torch: the weights alone need no tracing",
    ) from reason


def _rebuilt(network: nn.Module, state: dict[str, Tensor], about: dict[str, Any]) -> Predict:
    """What a user puts together from weights and description."""
    network = copy.deepcopy(network)
    network.load_state_dict(state)
    mean, std = (torch.tensor(about[name]).view(-1, 1, 1) for name in ("mean", "std"))
    normalization, shape = Normalization(mean, std), tuple(about["input_shape"])

    def predict(images: Tensor) -> Tensor:
        logits: Tensor = network(normalization(fit_images(images, shape)))
        return logits

    return predict

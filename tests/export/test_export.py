"""Exports: what a file gives is what the phenotype gives, wherever genophen is not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from helpers import classes_on_test_images, digits_tables, plugin_class
from torch import Tensor

import genophen
from genophen.cli import main
from genophen.compare.predictions import EvaluationPlace, trained_experiment
from genophen.data.batches import fit_images
from genophen.export.deployed import resize_matrix
from genophen.export.formats import FORMATS
from genophen.plugins.loading import load_plugins

#: Batch norm, a buffer, tied convolutions, and code that asks for the number of images.
OWN = """
import genophen
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, stride=2)
        self.norm = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.conv3 = self.conv2
        self.register_buffer("scale", torch.tensor(0.5))
        self.dense = nn.Linear(16 * 49, 10)

    def forward(self, x):
        x = self.norm(self.conv1(x)).relu()
        x = self.scale * self.conv3(self.conv2(x).relu()).relu()
        return self.dense(BODY)


class Own(genophen.Architecture):
    name = "own"
    description = "a network with most of what a network may have"
    input_shape = (1, 16, 16)
    num_outputs = 10

    def build(self):
        return Network()

    def expressed(self):
        return ["conv2.weight"]


@genophen.hookimpl
def register_architectures(register):
    register(Own)
"""
SHORT = ["training.max_sample_evaluations=2000"]


def train(out: Path, *overrides: str, plugin_files: Sequence[Path] = ()) -> genophen.Run:
    overrides = (*SHORT, *overrides)
    return genophen.run(digits_tables(), overrides=overrides, out=out, plugin_files=plugin_files)


def train_own(folder: Path, body: str) -> genophen.Run:
    file = folder / "own.py"
    file.write_text(OWN.replace("BODY", body))
    return train(folder / "own-run", 'architecture.name="own"', plugin_files=[file])


def digits(count: int) -> Tensor:
    return plugin_class("dataset", "digits")().load(Path()).test.images[:count]


def phenotype_logits(run: genophen.Run, images: Tensor) -> Tensor:
    """By way of `genophen evaluate`'s own preprocessing."""
    file = run.directory.parent / "own.py"
    plugins = load_plugins([file] if file.exists() else [])
    experiment = trained_experiment(run.directory, plugins, EvaluationPlace())
    fitted = fit_images(images, experiment.architecture.input_shape)
    with torch.inference_mode():
        logits: Tensor = experiment.phenotype.eval()(experiment.task.normalization(fitted))
    return logits


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


def documented() -> dict[str, str]:
    """The code in docs/export.md that loads each format."""
    page = (ROOT / "docs" / "export.md").read_text()
    onnx, exported, safe, plain, rebuild = re.findall(r"```python\n(.*?)```", page, re.S)
    return {"onnx": onnx, "torch-export": exported, "safetensors": safe + rebuild, "torch": plain + rebuild}


def test_documented_code_loads_every_format_where_genophen_cannot_be_imported(tmp_path: Path) -> None:
    run, images = train(tmp_path / "run"), digits(40)
    np.save("images.npy", images.numpy())
    program = "import sys\nsys.modules['genophen'] = sys.modules['genophen_plugins'] = None\nimport numpy\n"
    code = documented()
    assert set(code) == set(FORMATS)
    for name, lines in code.items():
        file = run.export(name, Path(f"network{FORMATS[name].suffix}"))
        assert file.is_file()
        program += f"names = {{}}\nexec({lines!r}, names)\n"
        program += "logits = names['logits']\nlogits = getattr(logits, 'detach', lambda: logits)()\n"
        program += f"numpy.save('{name}.npy', numpy.asarray(logits))\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = phenotype_logits(run, images)
    for name in code:
        found = torch.from_numpy(np.load(f"{name}.npy"))
        assert torch.equal(found.argmax(1), expected.argmax(1))
        torch.testing.assert_close(found, expected, rtol=0, atol=0.01)
    classes = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    said = str([classes[index] for index in expected.argmax(1)])
    assert done.stdout.splitlines().count(said) == 4


@pytest.mark.parametrize("architecture", ["mnist-cnn", "vgg-block1", "vgg-block2", "vgg-block3"])
def test_onnx_gives_the_phenotypes_classes_on_the_whole_test_set(architecture: str, tmp_path: Path) -> None:
    run = train(tmp_path / "run", f'architecture.name="{architecture}"')
    exported, measured = classes_on_test_images(run, run.export("onnx"))
    assert len(exported) == 400
    assert torch.equal(exported, measured)


@pytest.mark.parametrize("body", ["x.view(x.shape[0], -1)", "x.view(len(x), -1)"])
def test_networks_of_others_are_exported_with_their_buffers(body: str, tmp_path: Path) -> None:
    run, images = train_own(tmp_path, body), digits(40)
    expected = phenotype_logits(run, images)
    for name, form in FORMATS.items():
        network = run.phenotype().materialize()
        content = run.export(name).read_bytes()
        for tensor in network.state_dict().values():
            tensor.zero_()
        predict = form.read(content, network.eval())
        for count in (1, 3, 40):
            with torch.no_grad():
                found = predict(images[:count].contiguous())
            torch.testing.assert_close(found, expected[:count], rtol=0, atol=0.01)
    norm = torch.load(run.directory / "network.pt", weights_only=True)["state_dict"]["norm.running_mean"]
    assert bool(norm.any())


def test_what_cannot_be_traced_can_be_exported_as_weights(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train_own(tmp_path, "(x if x.mean() > 0 else -x).flatten(1)")
    capfd.readouterr()
    for name in ("onnx", "torch-export"):
        with pytest.raises(genophen.GenophenError) as caught:
            run.export(name)
        assert caught.value.attempted.startswith("cannot trace the network of own")
        assert "Data-dependent branching" in caught.value.found
        assert "--format safetensors" in caught.value.next_step
    assert capfd.readouterr() == ("", "")
    assert run.export("safetensors").is_file()
    assert not list(run.directory.glob("network.[op]*"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_differs_from_the_phenotype_is_not_kept(name: str, tmp_path: Path) -> None:
    run = train_own(tmp_path, "(x + 9 * torch.rand_like(x)).flatten(1)")
    file = run.directory / f"network{FORMATS[name].suffix}"
    file.write_text("from before")
    with pytest.raises(genophen.GenophenError, match=r"logits that differ by up to \d") as caught:
        run.export(name)
    assert "from the phenotype's on 100 test images" in caught.value.found
    assert file.read_text() == "from before"
    assert not list(run.directory.glob(".network*"))


def test_numbers_that_are_none_are_no_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(tmp_path / "run")
    blank = {
        name: tensor * float("nan") for name, tensor in run.phenotype().materialize().state_dict().items()
    }
    monkeypatch.setattr("genophen.export.formats._state", lambda network: blank)
    with pytest.raises(genophen.GenophenError, match="logits that differ by up to nan"):
        run.export("safetensors")


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path / "run")
    capsys.readouterr()
    code, out, err = command(capsys, "export", "run", "--format", "safetensors")
    assert (code, out) == (0, "run/network.safetensors\n")
    assert "images uint8 (N, 1, 8, 8) in, logits out" in err
    assert "compared on 100 test images" in err
    code, out, _ = command(capsys, "export", "run", "--format", "torch", "--out", "x.pt", "--json")
    answer: dict[str, Any] = json.loads(out)
    assert (code, answer["file"], answer["images"]) == (0, "x.pt", 100)
    assert answer["largest_difference"] < 1e-4
    about = torch.load("x.pt", weights_only=True)["about"]
    assert about == answer["about"]
    assert (about["image_shape"], about["input_shape"]) == ([1, 8, 8], [1, 28, 28])
    assert about["round"] == run["best_round"]
    assert "(conv2): Conv2d(16, 16, kernel_size=(7, 7)" in about["network"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "--format", "onx"], 2, "did you mean onnx?"),
        (["run", "--format", "onnx", "--out", "network.pt"], 2, "a name ending in .onnx"),
        (["absent", "--format", "onnx"], 2, "there is no such folder"),
        (["run", "--format", "torch", "--out", "no/such/x.pt"], 1, "cannot write no/such/x.pt"),
    ],
)
def test_what_cannot_be_exported_is_explained(
    arguments: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run")
    found, _, err = command(capsys, "export", *arguments)
    assert found == code
    assert said in err


def test_without_its_packages_onnx_says_what_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = command(capsys, "export", "run", "--format", "onnx")
    assert code == 1
    assert "not installed: onnxruntime" in err
    assert genophen.install_command("onnx") in err


def test_other_data_and_other_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path / "run")
    environment = run.environment
    environment["dataset"]["sha256"] = "0" * 64
    (run.directory / "environment.json").write_text(json.dumps(environment))
    code, _, err = command(capsys, "export", "run", "--format", "torch")
    assert code == 4
    assert "its SHA-256 differs" in err
    weights = next((run.directory / "best").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code, _, err = command(capsys, "export", "run", "--format", "torch")
    assert code == 4
    assert "does not have the SHA-256" in err


def test_resizing_as_a_matrix_is_resizing() -> None:
    images = torch.randint(0, 256, (20, 1, 8, 12), dtype=torch.uint8)
    for height, width in ((28, 28), (5, 7), (8, 12)):
        fitted = fit_images(images, (1, height, width)).float()
        found = resize_matrix(8, height) @ images.float() @ resize_matrix(12, width).T
        assert float((found - fitted).abs().max()) < 0.501  # fit_images rounds

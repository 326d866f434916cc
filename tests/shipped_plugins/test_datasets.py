"""Data sets that are known by name, on small made-up files in their real formats."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import struct
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from helpers import plugin_class

import genophen
from genophen.testing import check_dataset


def idx(array: np.ndarray) -> bytes:
    """An array in MNIST's own format: magic number, sizes, bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_arrays(seed: int) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(seed)
    return {
        "train-images-idx3-ubyte": draws.integers(0, 256, (50, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte": draws.integers(0, 10, 50, dtype=np.uint8),
        "t10k-images-idx3-ubyte": draws.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": draws.integers(0, 10, 20, dtype=np.uint8),
    }


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_idx_files_are_read(name: str, folder: str, tmp_path: Path) -> None:
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    arrays = mnist_arrays(0)
    for file, array in arrays.items():
        (raw / file).write_bytes(idx(array))
    data = check_dataset(plugin_class("dataset", name), tmp_path)
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(arrays["train-images-idx3-ubyte"]))
    assert data.test.labels.tolist() == arrays["t10k-labels-idx1-ubyte"].tolist()
    assert len(data.class_names) == 10
    assert data.validation is None


def test_a_truncated_idx_file_is_damage_and_not_a_traceback(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, array in mnist_arrays(0).items():
        (raw / file).write_bytes(idx(array)[:-100] if file.startswith("train-images") else idx(array))
    with pytest.raises(genophen.DamagedError, match=r"files in .*MNIST/raw are damaged"):
        plugin_class("dataset", "mnist")().load(tmp_path)


def test_a_huge_idx_file_is_not_read(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, array in mnist_arrays(0).items():
        (raw / file).write_bytes(idx(array))
    os.truncate(raw / "train-images-idx3-ubyte", 30 * 2**30)
    with pytest.raises(genophen.DamagedError, match=r"files in .*MNIST/raw are damaged: it has more than"):
        plugin_class("dataset", "mnist")().load(tmp_path)


def test_mnist_is_downloaded_with_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's real download code, on files served over loopback."""
    served = tmp_path / "served"
    served.mkdir()
    handler = partial(QuietHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            check_download(served, f"http://127.0.0.1:{server.server_port}/", tmp_path, monkeypatch)
        finally:
            server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def check_download(served: Path, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = []
    for file, array in mnist_arrays(1).items():
        content = gzip.compress(idx(array))
        (served / f"{file}.gz").write_bytes(content)
        resources.append((f"{file}.gz", hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [mirror])
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    data = plugin_class("dataset", "mnist")().load(tmp_path / "data")
    assert len(data.train) == 50
    resources[0] = (resources[0][0], "0" * 32)
    with pytest.raises(genophen.GenophenError, match="the download failed"):
        plugin_class("dataset", "mnist")().load(tmp_path / "other")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_without_a_network_the_error_says_what_to_do(name: str, tmp_path: Path) -> None:
    with pytest.raises(genophen.GenophenError) as caught:
        plugin_class("dataset", name)().load(tmp_path)
    assert f"cannot get the data set {name}" in str(caught.value)
    assert str(tmp_path) in caught.value.found
    assert "--data-dir DIR" in caught.value.next_step
    assert caught.value.exit_code == 1


def cifar_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """CIFAR-10's folder with ten images a batch, and torchvision told their checksums."""
    base = folder / "cifar-10-batches-py"
    base.mkdir(parents=True)
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (6, 10, 3072), dtype=np.uint8)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    sums = {}
    for name, images in zip(names, pixels, strict=True):
        content = pickle.dumps({"data": images, "labels": list(range(10))})
        (base / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    meta = pickle.dumps({"label_names": [f"class{i}" for i in range(10)]})
    (base / "batches.meta").write_bytes(meta)
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "train_list", [[name, sums[name]] for name in names[:5]])
    monkeypatch.setattr(cls, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": hashlib.md5(meta).hexdigest()})
    return pixels


def test_cifar10_batches_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = cifar_files(tmp_path, monkeypatch)
    data = check_dataset(plugin_class("dataset", "cifar10"), tmp_path)
    assert (len(data.train), len(data.test)) == (50, 10)
    assert torch.equal(data.train.images[12].flatten(), torch.from_numpy(pixels[1, 2]))
    assert data.class_names[3] == "class3"


def test_a_changed_cifar_batch_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar_files(tmp_path, monkeypatch)

    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(genophen.GenophenError, match="cannot get the data set cifar10"):
        plugin_class("dataset", "cifar10")().load(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_an_archive_copied_by_hand_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar_files(tmp_path / "made", monkeypatch)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    archive = data_dir / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    checksum = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", checksum)
    assert len(plugin_class("dataset", "cifar10")().load(data_dir).train) == 50


def test_digits_are_split_by_class_into_1197_200_400(tmp_path: Path) -> None:
    data = check_dataset(plugin_class("dataset", "digits"), tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (1197, 200, 400)
    for split in (data.train, data.validation, data.test):
        share = torch.bincount(split.labels).double() / len(split)
        assert float((share - 0.1).abs().max()) < 0.01
    assert int(data.train.images.max()) == 255
    # The split is fixed for good: results on it are compared over years.
    assert data.digest() == "492a93bfbbdf0e6b3d0851c614020006a23cff52211f6f4d783b3879bfac725a"

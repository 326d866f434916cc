"""Data sets that are known by name: the embedded digits, and torchvision's MNIST, Fashion-MNIST, CIFAR-10."""

from __future__ import annotations

import hashlib
import pickle
import sys
from abc import abstractmethod
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from filelock import FileLock

import genophen


class Digits(genophen.Dataset):
    """scikit-learn's handwritten digits, split by class into 1,197 / 200 / 400 images."""

    name = "digits"
    description = "1,797 handwritten digits of 8x8 pixels, embedded in scikit-learn (1,197 / 200 / 400)"

    def load(self, data_dir: Path) -> genophen.Data:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # (1797, 1, 8, 8)
        rest, test = train_test_split(
            np.arange(len(pixels)), test_size=400, stratify=digits.target, random_state=0
        )
        train, validation = train_test_split(
            rest, test_size=200, stratify=digits.target[rest], random_state=0
        )
        images, labels = torch.from_numpy(pixels), torch.from_numpy(digits.target).long()

        def split(rows: Any) -> genophen.Split:
            return genophen.Split(images[rows], labels[rows])

        names = tuple(str(name) for name in digits.target_names)
        return genophen.Data(split(train), split(test), names, validation=split(validation))


class TorchvisionDataset(genophen.Dataset):
    """A data set that torchvision downloads, with its checksums, when it is not there yet."""

    #: What to fetch by hand where there is no network, and into which folder of the data directory.
    files: ClassVar[tuple[str, ...]]
    folder: ClassVar[str]

    @abstractmethod
    def open(self, data_dir: Path, train: bool, download: bool) -> Any:
        """torchvision's data set object for one split."""

    def has_every_file(self, data_dir: Path) -> bool:
        """Whether all files are there, so that it is their content that torchvision cannot take."""
        return all((data_dir / self.folder / name).is_file() for name in self.files)

    @abstractmethod
    def split(self, opened: Any) -> genophen.Split:
        """Images and labels of torchvision's object."""

    def load(self, data_dir: Path) -> genophen.Data:
        with redirect_stdout(sys.stderr):  # torchvision prints as it downloads
            train = self._opened(data_dir, train=True)
            test = self._opened(data_dir, train=False)
        try:
            return genophen.Data(self.split(train), self.split(test), tuple(train.classes))
        except (ValueError, TypeError) as error:
            raise self._damaged(data_dir, error) from None

    def _opened(self, data_dir: Path, train: bool) -> Any:
        try:
            return self.open(data_dir, train, download=False)
        except RuntimeError as error:  # absent files, and wrong checksums or sizes
            if self.has_every_file(data_dir):
                raise self._damaged(data_dir, error) from None
            return self._downloaded(data_dir, train)
        except Exception as error:  # a reader of its own that meets a damaged file raises what it likes
            raise self._damaged(data_dir, error) from None

    def _downloaded(self, data_dir: Path, train: bool) -> Any:
        print(f"downloading {self.name} to {data_dir}", file=sys.stderr)
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(data_dir / f".{self.name}.lock"):  # two runs may start at once
                return self.open(data_dir, train, download=True)
        except (OSError, RuntimeError) as error:
            raise genophen.GenophenError(
                f"cannot get the data set {self.name}",
                found=f"it is not whole in {data_dir}, and the download failed: {_reason(error)}",
                allowed=f"{', '.join(self.files)} in {data_dir / self.folder}",
                next_step="connect to the network, copy the files there by hand, or name the folder that has "
                "them: --data-dir DIR (or GENOPHEN_DATA); --dataset digits needs no download",
            ) from None

    def _damaged(self, data_dir: Path, error: Exception) -> genophen.DamagedError:
        return genophen.DamagedError(
            f"cannot read the data set {self.name}",
            found=f"files in {data_dir / self.folder} are damaged: {_reason(error)}",
            next_step=f"delete {data_dir / self.folder}; the next run downloads it again",
        )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class MNIST(TorchvisionDataset):
    """torchvision reads each file as a whole, whatever its size."""

    name = "mnist"
    description = "70,000 handwritten digits of 28x28 pixels (60,000 / 10,000)"
    files = (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )
    folder = "MNIST/raw"

    def open(self, data_dir: Path, train: bool, download: bool) -> Any:
        self.check_sizes(data_dir)
        return _idx_reader("MNIST")(data_dir, train=train, download=download)

    def check_sizes(self, data_dir: Path) -> None:
        """Raise a ValueError for a file that is larger than any of the data set."""
        for name in self.files:
            if (file := data_dir / self.folder / name).is_file():
                with genophen.open_file(file):
                    pass

    def split(self, opened: Any) -> genophen.Split:
        return genophen.Split(opened.data[:, None], opened.targets)  # (N, 1, 28, 28)


class FashionMNIST(MNIST):
    name = "fashion-mnist"
    description = "70,000 pieces of clothing of 28x28 pixels (60,000 / 10,000)"
    folder = "FashionMNIST/raw"

    def open(self, data_dir: Path, train: bool, download: bool) -> Any:
        self.check_sizes(data_dir)
        return _idx_reader("FashionMNIST")(data_dir, train=train, download=download)


@dataclass(frozen=True)
class _Cifar:
    """What is read from the batches of one split, as torchvision's object names it."""

    data: np.ndarray  # (N, 3, 32, 32)
    targets: list[int]
    classes: list[str]


class CIFAR10(TorchvisionDataset):
    """torchvision fetches and unpacks the archive; the batches, which are pickles, are read here alone."""

    name = "cifar10"
    description = "60,000 colour photographs of 32x32 pixels in ten classes (50,000 / 10,000)"
    files = ("cifar-10-python.tar.gz",)
    folder = ""

    def open(self, data_dir: Path, train: bool, download: bool) -> Any:
        known = _torchvision("CIFAR10")
        if download:
            from torchvision.datasets.utils import download_and_extract_archive

            download_and_extract_archive(known.url, data_dir, filename=known.filename, md5=known.tgz_md5)
        folder = data_dir / known.base_folder
        batches = [
            _known_pickle(folder / name, md5)
            for name, md5 in (known.train_list if train else known.test_list)
        ]
        meta = _known_pickle(folder / known.meta["filename"], known.meta["md5"])
        return _Cifar(
            np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32),
            [label for batch in batches for label in batch["labels"]],
            meta[known.meta["key"]],
        )

    def has_every_file(self, data_dir: Path) -> bool:
        return False  # a batch with a wrong checksum is fetched again

    def split(self, opened: Any) -> genophen.Split:
        return genophen.Split(torch.from_numpy(opened.data), torch.tensor(opened.targets))


def _known_pickle(file: Path, md5: str) -> Any:
    """Unpickle bytes whose checksum is the published one, and no others: a pickle can run any program.

    Raises:
        RuntimeError: for a file that is absent or another.
    """
    try:
        with genophen.open_file(file) as opened:
            content = opened.read()
    except (OSError, ValueError) as error:
        raise RuntimeError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise RuntimeError(f"{file} does not have its published checksum")
    return pickle.loads(content, encoding="latin1")


def _idx_reader(name: str) -> Any:
    """torchvision's class, less its unpickling of `processed/*.pt` where that is there."""
    # Of the same name: torchvision's folder is named after the class.
    return type(name, (_torchvision(name),), {"_check_legacy_exist": lambda self: False})


def _torchvision(name: str) -> Any:
    import torchvision

    return getattr(torchvision.datasets, name)


@genophen.hookimpl
def register_datasets(register):  # type: ignore[no-untyped-def]
    for cls in (Digits, MNIST, FashionMNIST, CIFAR10):
        register(cls)

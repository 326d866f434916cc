"""What a data set has to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from genophen.contracts.dataset import Data, Dataset, Split
from genophen.contracts.options import Options
from genophen.contracts.sequences import SequenceData, Text
from genophen.data.sequence_checks import check_sequences
from genophen.data.splits import check_data
from genophen.testing.findings import Findings, check_call, check_class, default_options, require

#: Test images that are looked up among the training images; a few alike may be chance.
_SOME, _LEAST = 200, 20


def examine_dataset(
    findings: Findings,
    cls: type[Dataset],
    options: Options | None,
    data_dir: Path,
    keep: Callable[[Data | SequenceData | Text], None] = lambda data: None,
) -> None:
    """Load a data set twice and check its splits; `keep` is given what it loaded."""
    with findings.needed("the class has all that a data set needs"):
        check_class("dataset", cls)
    with findings.needed("it can be made without settings"):
        dataset = cls(default_options(cls, options))
    with findings.needed("load() gives data as genophen takes them"):
        check_call(
            dataset.load, "it is given the folder of the data sets: def load(self, data_dir)", data_dir
        )
        data = dataset.load(data_dir)
        if isinstance(data, SequenceData | Text):
            check_sequences(data, cls.name)
        else:
            check_data(data, cls.name)
        keep(data)
    with findings.check("two loads are equal"):
        again = cls(options).load(data_dir)
        require(
            data.digest() == again.digest(),
            "two loads give different data or another order: sort the files, and draw with a "
            "torch.Generator of a fixed seed",
        )
    if not isinstance(data, Data):
        return
    with findings.check("no test image is a training image"):
        seen = {hash(image) for images, _ in data.train.chunks() for image in _contents(images)}
        test = _some(data.test)
        repeated = sum(hash(image) in seen for image in _contents(test))
        require(
            repeated < max(len(test), _LEAST) / 2,
            f"{repeated} of the first {len(test)} test images are training images, too: split them before "
            "anything is copied or drawn",
        )


def _some(split: Split) -> Tensor:
    return next(split.chunks(_SOME))[0]


def _contents(images: Tensor) -> list[bytes]:
    return [image.tobytes() for image in images.cpu().contiguous().numpy()]

"""A pickle in place of any file that genophen reads is never executed: the command says what is wrong."""

from __future__ import annotations

import builtins
import pickle
import shutil
from pathlib import Path

import pytest
from helpers import digits_tables
from hostile import ask, is_harmless
from PIL import Image

from genophen.config.toml import write_toml

MARKER = Path("executed")
#: Commands that read a run directory, or the folder of a sweep, and what they may answer with.
RUN_READERS = [
    ["evaluate", "RUN"],
    ["report", "RUN", "--figure", "kernels"],
    ["params", "RUN/config.toml"],
    ["resume", "RUN", "--rounds", "3"],
    ["compare", "RUN", "OTHER"],
    ["export", "RUN", "--format", "safetensors"],
]
SWEEP_READERS = [
    ["sweep", "sweep.toml", "--out", "SWEEP", "--results", "published"],
    ["report", "SWEEP", "--figure", "accuracy"],
    ["compare", "SWEEP", "--no-bootstrap"],
]
DOCUMENTED = {0, 1, 2, 3, 4, 5}


class Payload:
    """Unpickled, it makes a file: what a real one would do is up to its author."""

    def __reduce__(self):
        return (builtins.exec, (f"open({str(MARKER.absolute())!r}, 'w').close()",))


def payloads() -> dict[str, bytes]:
    """What is put in a file's place: the pickle, and what else could upset a reader."""
    pickled = pickle.dumps(Payload(), protocol=2)
    return {"pickle": pickled, "deep": b"[" * 100_000, "escapes": b'{"\x1b[2J": "\xff"}'}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and a finished sweep of one trial with published results."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("made")
        patch.chdir(folder)
        tables = digits_tables(rounds=1)
        Path("config.toml").write_text(write_toml(tables))
        sweep = {"config": tables, "rows": {"one": {}}}
        Path("sweep.toml").write_text(write_toml(sweep))
        assert ask("run", "config.toml", "--out", "RUN").code == 0
        assert ask("run", "config.toml", "--optimizer", "sgd", "--out", "OTHER").code == 0
        arguments = ["sweep", "sweep.toml", "--out", "SWEEP", "--results", "published"]
        assert ask(*arguments).code == 0
    return folder


def files_of(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def check_refused(arguments: list[str], file: Path) -> int:
    answer = ask(*arguments)
    assert not MARKER.exists(), f"{arguments} executed {file}"
    assert answer.code in DOCUMENTED, (file, answer)
    assert "Traceback" not in answer.err, (file, answer)
    assert "should not happen" not in answer.err, (file, answer)
    assert answer.code in (0, 3) or "Error: " in answer.err, (file, answer)
    assert is_harmless(answer.out + answer.err), (file, answer)
    return answer.code


@pytest.mark.parametrize("kind", payloads())
@pytest.mark.parametrize("arguments", RUN_READERS, ids=lambda arguments: arguments[0])
def test_no_file_of_a_run_is_executed(arguments: list[str], kind: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "OTHER", "OTHER")
    codes = {}
    for name in [file.relative_to(made / "RUN") for file in files_of(made / "RUN")]:
        shutil.rmtree("RUN", ignore_errors=True)
        shutil.copytree(made / "RUN", "RUN")
        (Path("RUN") / name).write_bytes(payloads()[kind])
        codes[str(name)] = check_refused(arguments, Path("RUN") / name)
    assert codes["config.toml"] == 2
    read = {"resume": "checkpoints/", "params": "nothing"}.get(arguments[0], "best/")
    assert {code for name, code in codes.items() if name.startswith(read)} <= {4}


@pytest.mark.parametrize("kind", payloads())
def test_no_file_is_executed_for_a_page(kind: str, made: Path, tmp_path: Path) -> None:
    codes = {}
    for name in [file.relative_to(made) for file in [*files_of(made / "RUN"), made / "SWEEP" / "sweep.toml"]]:
        shutil.copytree(made, "copy", dirs_exist_ok=True)
        (Path("copy") / name).write_bytes(payloads()[kind])
        codes[str(name)] = check_refused(["report", f"copy/{name.parts[0]}", "--no-images"], name)
        shutil.rmtree("copy")
    assert codes["RUN/config.toml"] == 2
    assert codes["SWEEP/sweep.toml"] == 0  # the trials are shown all the same


@pytest.mark.parametrize("kind", payloads())
@pytest.mark.parametrize("arguments", SWEEP_READERS, ids=lambda arguments: arguments[0])
def test_no_file_of_a_sweep_is_executed(arguments: list[str], kind: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, ".", dirs_exist_ok=True)
    files = [Path("sweep.toml"), *files_of(Path("SWEEP")), *files_of(Path("published"))]
    if arguments[0] == "report":  # it reads nothing below, and drawing takes its time
        files = [Path("SWEEP/table.json"), Path("SWEEP/sweep.toml")]
    for file in files:
        before = file.read_bytes()
        file.write_bytes(payloads()[kind])
        code = check_refused(arguments, file)
        if file in (Path("sweep.toml"), Path("published/sweep.json")) and arguments[0] == "sweep":
            assert code in (2, 4)
        if file.name == "table.json" and arguments[0] == "report":
            assert code == 2
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(before)


def check_data_set(name: str, file: Path, *options: str) -> None:
    """A run on a data set one of whose files is a payload, with each payload in turn."""
    content = file.read_bytes() if file.exists() else None
    for payload in payloads().values():
        file.write_bytes(payload)
        arguments = ["run", "config.toml", "--dataset", name, "--data-dir", "data", "--quiet", *options]
        code = check_refused(arguments, file)
        assert code in (1, 4)
        assert not Path("runs").exists() or not any(Path("runs").iterdir())
    if content is not None:
        file.write_bytes(content)


def write_config(architecture: str = "mnist-cnn") -> None:
    tables = digits_tables(rounds=1) | {"architecture": {"name": architecture}}
    Path("config.toml").write_text(write_toml(tables))


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_no_idx_file_is_executed(name: str, folder: str) -> None:
    from test_datasets import idx, mnist_arrays

    write_config()
    raw = Path("data") / folder / "raw"
    raw.mkdir(parents=True)
    for file, array in mnist_arrays(0).items():
        (raw / file).write_bytes(idx(array))
    for file in files_of(raw):
        check_data_set(name, file)


def test_torchvisions_old_mnist_files_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch
    from helpers import plugin_class
    from test_datasets import idx, mnist_arrays

    folder = tmp_path / "MNIST"
    for name in ("raw", "processed"):
        (folder / name).mkdir(parents=True)
    for file, array in mnist_arrays(0).items():
        (folder / "raw" / file).write_bytes(idx(array))
    for file in ("training.pt", "test.pt"):
        (folder / "processed" / file).write_bytes(payloads()["pickle"])
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled"))
    assert len(plugin_class("dataset", "mnist")().load(tmp_path).train) == 50


def test_no_cifar_batch_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    from test_datasets import cifar_files

    write_config("vgg-block1")
    cifar_files(Path("data"), monkeypatch)
    for file in files_of(Path("data")):
        check_data_set("cifar10", file)
    shutil.rmtree("data/cifar-10-batches-py")
    check_data_set("cifar10", Path("data/cifar-10-python.tar.gz"))


def test_a_cifar_file_is_read_once_so_that_none_is_exchanged_after_its_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from helpers import plugin_class
    from test_datasets import cifar_files

    cifar_files(Path("data"), monkeypatch)
    read = Path.read_bytes

    def exchange(self: Path) -> bytes:
        content = read(self)
        self.write_bytes(payloads()["pickle"])
        return content

    monkeypatch.setattr(Path, "read_bytes", exchange)
    plugin_class("dataset", "cifar10")().open(Path("data"), train=True, download=False)
    assert not MARKER.exists()


def pictures() -> None:
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            for index in range(2 + (split == "train") * 10):
                file = Path("data/pictures", split, name, f"{index}.png")
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (32, 32), (index, 9, len(name))).save(file)


PICTURES = ["--dataset", "image-folder", "--set", 'dataset.image-folder.path="data/pictures"']


def test_no_image_is_executed() -> None:
    write_config("vgg-block1")
    pictures()
    check_data_set("image-folder", Path("data/pictures/train/ant/0.png"), *PICTURES)


def test_a_postscript_program_with_an_images_name_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    write_config("vgg-block1")
    pictures()
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n(x) print\n%%EOF\n"
    file = Path("data/pictures/train/ant/0.png")
    file.write_bytes(program)
    with Image.open(file) as opened:
        assert opened.format == "EPS"  # left to itself, the decoder takes it
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("ran a program"))
    arguments = ["run", "config.toml", *PICTURES]
    assert check_refused(arguments, file) == 4


def cache_entry() -> Path:
    (entry,) = Path("cache/genophen/image-folder").iterdir()
    return entry


def test_no_file_of_the_image_cache_is_executed_or_believed() -> None:
    write_config("vgg-block1")
    pictures()
    arguments = [
        "run",
        "config.toml",
        "--dataset",
        "image-folder",
        "--data-dir",
        "data",
        "--quiet",
        *PICTURES,
    ]
    assert check_refused([*arguments, "--out", "first"], Path()) == 0
    good = {name: (cache_entry() / name).read_bytes() for name in ("description.json", "pixels")}
    for name, content in good.items():
        for kind, payload in payloads().items():
            (cache_entry() / name).write_bytes(payload)
            assert check_refused([*arguments, "--out", f"{name}-{kind}"], cache_entry() / name) == 0
            assert (cache_entry() / name).read_bytes() == content


@pytest.mark.parametrize(
    "shape",
    [
        "[28, 3, 32, 3200]",
        "[28, 3, -32, -32]",
        '"28"',
        "[28, 3, 32.0, 32]",
        "{}",
        "[1e999]",
        "[28, 3, 32, 1]",
    ],
)
def test_a_cache_that_lies_about_its_shape_is_made_again(shape: str) -> None:
    from helpers import plugin_class

    pictures()
    cls = plugin_class("dataset", "image-folder")
    dataset = cls(cls.Options(path=Path("pictures")))
    first = dataset.load(Path("data")).train.images.clone()
    file = cache_entry() / "description.json"
    honest = file.read_text()
    file.write_text(honest.replace("[28, 3, 32, 32]", shape))
    assert file.read_text() != honest
    assert dataset.load(Path("data")).train.images.equal(first)
    assert file.read_text() == honest


def test_a_checkpoints_files_cannot_be_links_out_of_it(made: Path) -> None:
    shutil.copytree(made / "RUN", "RUN")
    (tensors,) = Path("RUN/best").glob("*.safetensors")
    tensors.rename("elsewhere")
    tensors.symlink_to(Path("elsewhere").absolute())
    answer = ask("evaluate", "RUN")
    assert answer.code == 4
    assert f"{tensors.name} is a link to another place" in answer.err

"""Images in folders: `train/CLASS/*.jpg`, `test/CLASS/*.jpg`, decoded once into a cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from PIL import ExifTags, Image
from pydantic import Field
from torch import Tensor

import genophen

#: Raised when files are decoded otherwise than before, so that no pixels of the old kind are served.
_CACHE_FORMAT = "2"
_LARGEST_DESCRIPTION = 4096
#: A photograph of 80 million pixels without compression.
_LARGEST_FILE = 2**28
#: What makes an image upright, by the orientation in its EXIF tags (EXIF 2.3, 4.6.4); 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: What the endings above stand for. Left to itself, the decoder goes by content, whatever the name: one of
#: its formats, EPS, is a program that it hands to an interpreter.
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


class ImageFolderOptions(genophen.Options):
    path: genophen.PathOption = Field(
        description="folder that holds train/ and test/ (first looked for in data_dir)"
    )
    channels: Literal[1, 3] = Field(3, description="3: colour; 1: grey")
    image_size: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="scale the shorter side to this and crop the middle (default: all images have one size)",
    )


class ImageFolder(genophen.Dataset):
    """A folder in torchvision's layout. Pixels are cached under a key made from names and content."""

    name = "image-folder"
    description = "images of your own: a folder with train/CLASS/* and test/CLASS/*"
    Options: ClassVar[type[genophen.Options]] = ImageFolderOptions
    options: ImageFolderOptions

    def load(self, data_dir: Path) -> genophen.Data:
        below = data_dir / self.options.path
        root = below if below.is_dir() else self.options.path
        train = _list_images(root, "train")
        test = _list_images(root, "test")
        classes = sorted(train)
        if sorted(test) != classes:
            different = sorted(set(train) ^ set(test))
            raise genophen.DamagedError(
                f"cannot use the image folder {root}",
                found=f"train/ and test/ have different classes: {', '.join(different)} in one of them only",
                allowed="the same class folders in both",
            )
        files = {
            name: [file for cls in classes for file in split[cls]]
            for name, split in (("train", train), ("test", test))
        }
        every = [*files["train"], *files["test"]]
        key = _content_key(root, every, self.options)
        images, turned = _cached_pixels(key, every, self.options)
        labels = {
            name: torch.tensor([index for index, cls in enumerate(classes) for _ in split[cls]])
            for name, split in (("train", train), ("test", test))
        }
        count = len(files["train"])
        return genophen.Data(
            genophen.Split(images[:count], labels["train"]),
            genophen.Split(images[count:], labels["test"]),
            tuple(classes),
            sha256=_digest(key, turned),
        )


def _list_images(root: Path, split: str) -> dict[str, list[Path]]:
    """The image files of each class of a split, in order.

    Raises:
        DamagedError: for a folder that is absent or has no classes, and for a class without images.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS

    folder = root / split
    attempted = f"cannot use the image folder {root}"
    if not folder.is_dir():
        raise genophen.DamagedError(
            attempted,
            found=f"there is no folder {folder}",
            allowed=f"{root}/train/CLASS/* and {root}/test/CLASS/*",
            next_step="set dataset.image-folder.path to the folder that holds train/ and test/",
        )
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise genophen.DamagedError(
            attempted, found=f"{folder} has no class folders", allowed="one folder a class"
        )
    listed: dict[str, list[Path]] = {}
    for entry in classes:
        found = (file for file in entry.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS)
        files = sorted(file for file in found if file.is_file() or file.is_symlink())
        if not files:
            raise genophen.DamagedError(
                attempted,
                found=f"the class folder {entry} has no images",
                allowed=f"files ending in {', '.join(IMG_EXTENSIONS)}",
                next_step="add images to it, or delete the folder",
            )
        listed[entry.name] = files
    return listed


def _content_key(root: Path, files: list[Path], options: ImageFolderOptions) -> str:
    """SHA-256 over the names and bytes of all files, and the settings that the pixels depend on."""
    sha256 = hashlib.sha256(f"1/{options.channels}/{options.image_size}/{len(files)}".encode())
    for file in files:
        content = _content(file)
        sha256.update(b"\0%b\0%d\0" % (os.fsencode(file.relative_to(root)), len(content)))
        sha256.update(content)
    return sha256.hexdigest()


def _content(file: Path) -> bytes:
    try:
        with genophen.open_file(file, _LARGEST_FILE) as opened:
            return opened.read()
    except (OSError, ValueError) as error:
        raise _undecodable(file, getattr(error, "strerror", None) or str(error)) from None


def _digest(key: str, turned: int) -> str:
    """SHA-256 of the data: of the files alone, but where images were turned.

    Runs on files without orientations go on; runs that saw such files unturned had other pixels.
    """
    return hashlib.sha256(f"{key}/upright".encode()).hexdigest() if turned else key


def _cached_pixels(key: str, files: list[Path], options: ImageFolderOptions) -> tuple[Tensor, int]:
    """The pixels of all files, uint8 (N, C, H, W), memory-mapped from the cache, filled if need be.

    With them: how many of the images were turned upright.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genophen" / "image-folder"
    entry = cache / f"{_CACHE_FORMAT}-{key}"
    expected = (len(files), options.channels)
    if (cached := _read_cache(entry, *expected)) is not None:
        return cached
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{key[:16]}.", suffix=".part", dir=cache))
    except OSError as error:
        raise genophen.GenophenError(
            "cannot make the cache of decoded images",
            found=f"{cache}: {error.strerror}",
            next_step="name a folder that can be written in XDG_CACHE_HOME",
        ) from None
    try:
        _fill_cache(partial, files, options)
        try:
            partial.rename(entry)
        except OSError:  # another run was quicker, or something damaged lies there
            if _read_cache(entry, *expected) is None:
                _clear(entry)
                partial.rename(entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    cached = _read_cache(entry, *expected)
    assert cached is not None
    return cached


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _read_cache(entry: Path, count: int, channels: int) -> tuple[Tensor, int] | None:
    """The pixels of a cache entry, and how many images were turned; None where it is absent or damaged."""
    try:
        with genophen.open_file(entry / "description.json", _LARGEST_DESCRIPTION) as file:
            description = json.loads(file.read())
        shape: list[int] = description["shape"]
        turned: int = description["turned"]
        _, _, height, width = shape
        if not all(type(number) is int and number > 0 for number in shape) or type(turned) is not int:
            return None
        with genophen.open_file(entry / "pixels", count * channels * height * width) as file:
            intact = hashlib.file_digest(file, "sha256").hexdigest() == description["sha256"]
            size = file.seek(0, os.SEEK_END)
        # Mapping more than the file has would end the process at the first touch.
        fits = shape[:2] == [count, channels] and count * channels * height * width == size
        if not intact or not fits:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    flat = torch.from_file(str(entry / "pixels"), shared=False, size=size, dtype=torch.uint8)
    return flat.view(*shape), turned


def _fill_cache(entry: Path, files: list[Path], options: ImageFolderOptions) -> None:
    sha256 = hashlib.sha256()
    shape: tuple[int, ...] = ()
    turned = 0
    with (entry / "pixels").open("wb") as out:
        for file in files:
            pixels, was_turned = _decode(file, options)
            turned += was_turned
            if shape and tuple(pixels.shape) != shape:
                raise genophen.ConfigError(
                    "cannot put the images into one array",
                    found=f"{_size(shape)} in {files[0]}, {_size(pixels.shape)} in {file}",
                    allowed="images of one size",
                    next_step="set dataset.image-folder.image_size, e.g. to 32",
                )
            shape = tuple(pixels.shape)
            content = pixels.numpy().tobytes()
            sha256.update(content)
            out.write(content)
    description = {"shape": [len(files), *shape], "turned": turned, "sha256": sha256.hexdigest()}
    (entry / "description.json").write_text(json.dumps(description))


def _size(shape: Sequence[int]) -> str:
    return f"{shape[2]}x{shape[1]}"


def _decode(file: Path, options: ImageFolderOptions) -> tuple[Tensor, bool]:
    """One image as uint8 (C, H, W), and whether it was turned upright."""
    from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

    try:
        with Image.open(BytesIO(_content(file)), formats=_FORMATS) as opened:
            if opened.mode.startswith(("I", "F")):  # converting would clip all but the darkest values
                raise _undecodable(file, f"more than 8 bits a pixel (mode {opened.mode})", "8-bit images")
            image: Any = opened.convert("RGB" if options.channels == 3 else "L")
            turn = _turn(opened)
    except genophen.GenophenError:
        raise
    except Exception as error:  # a decoder that meets a damaged file raises what it likes
        raise _undecodable(file, " ".join(str(error).split()) or type(error).__name__) from None
    if turn is not None:
        image = image.transpose(turn)
    if options.image_size is not None:
        image = center_crop(resize(image, options.image_size, antialias=True), [options.image_size] * 2)
    return pil_to_tensor(image), turn is not None


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes a decoded image upright, as a phone that was held sideways notes it; None for nothing."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged tags do not make the pixels worse, and they raise what they like
        return None


def _undecodable(file: Path, found: str, allowed: str = "") -> genophen.DamagedError:
    return genophen.DamagedError(
        f"cannot decode the image {os.fsencode(file).decode('utf-8', 'replace')}",
        found=found,
        allowed=allowed,
        next_step="replace the file or delete it",
    )


@genophen.hookimpl
def register_datasets(register):  # type: ignore[no-untyped-def]
    register(ImageFolder)

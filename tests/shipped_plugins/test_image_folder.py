"""Images in folders: decoded once, cached by content, every fault named by its path."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from helpers import plugin_class
from PIL import ExifTags, Image, ImageOps
from torchvision.transforms.functional import pil_to_tensor

import genophen
from genophen.testing import check_dataset


def image(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (6, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, count in (("train", 3), ("test", 2)):
        for cls, red in (("ant", 10), ("bee", 200)):
            for index in range(count):
                image(tmp_path / "data" / "pictures" / split / cls / f"{index}.png", (red, index, 0))
    return tmp_path / "data" / "pictures"


def load(folder: Path, **options: object) -> genophen.Data:
    cls = plugin_class("dataset", "image-folder")
    return cls(cls.Options(path=folder, **options)).load(folder.parent)


def test_images_and_labels_come_in_the_order_of_names(folder: Path) -> None:
    cls = plugin_class("dataset", "image-folder")
    data = check_dataset(cls, folder.parent, cls.Options(path=Path("pictures")))
    assert data.class_names == ("ant", "bee")
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert data.train.images.shape == (6, 3, 6, 6)
    assert data.train.images[4, :, 0, 0].tolist() == [200, 1, 0]
    assert data.test.images[1, :, 5, 5].tolist() == [10, 1, 0]


def test_the_second_load_decodes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(folder)
    monkeypatch.setattr(Image, "open", lambda file: pytest.fail(f"decoded {file} again"))
    second = load(folder)
    assert torch.equal(first.train.images, second.train.images)
    assert first.digest() == second.digest()


def test_a_changed_image_of_the_same_size_and_time_is_noticed(folder: Path) -> None:
    first = load(folder)
    image(folder / "train" / "ant" / "0.png", (11, 0, 0))
    second = load(folder)
    assert first.digest() != second.digest()
    assert second.train.images[0, 0, 0, 0] == 11


def test_a_damaged_cache_is_made_again(folder: Path, tmp_path: Path) -> None:
    first = load(folder).train.images.clone()
    (pixels,) = (tmp_path / "cache").rglob("pixels")
    content = bytearray(pixels.read_bytes())
    content[7] ^= 1
    pixels.write_bytes(content)
    assert torch.equal(load(folder).train.images, first)


def test_the_pixels_are_mapped_from_the_disk_and_not_read_into_memory(folder: Path) -> None:
    load(folder)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not list memory maps")
    data = load(folder)
    assert "image-folder" in maps.read_text()
    assert len(data.train) == 6


def test_a_truncated_image_is_named(folder: Path) -> None:
    file = folder / "test" / "bee" / "1.png"
    Image.effect_noise((64, 64), 50).save(file)
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(genophen.DamagedError, match=r"test/bee/1\.png") as caught:
        load(folder)
    assert "truncated" in caught.value.found
    assert caught.value.exit_code == 4


def test_a_file_that_is_no_image_is_named(folder: Path) -> None:
    (folder / "train" / "ant" / "9.jpg").write_text("not a picture")
    with pytest.raises(genophen.DamagedError, match=r"cannot decode the image .*train/ant/9\.jpg"):
        load(folder)


def test_an_empty_class_folder_is_named(folder: Path) -> None:
    (folder / "train" / "cow").mkdir()
    with pytest.raises(genophen.DamagedError, match=r"the class folder .*train/cow has no images"):
        load(folder)


def test_classes_that_differ_between_the_splits_are_named(folder: Path) -> None:
    shutil.copytree(folder / "train" / "ant", folder / "train" / "cow")
    with pytest.raises(genophen.DamagedError, match="different classes: cow in one of them only"):
        load(folder)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_split_is_named(folder: Path, missing: str) -> None:
    shutil.rmtree(folder / missing)
    with pytest.raises(genophen.DamagedError, match=f"there is no folder .*/{missing}"):
        load(folder)


def test_images_of_two_sizes_need_image_size(folder: Path) -> None:
    image(folder / "test" / "bee" / "9.png", (1, 2, 3), size=(9, 12))
    with pytest.raises(genophen.ConfigError, match=r"6x6 in .*0\.png, 9x12 in .*9\.png") as caught:
        load(folder)
    assert "dataset.image-folder.image_size" in caught.value.next_step
    assert load(folder, image_size=5).test.images.shape == (5, 3, 5, 5)


def test_grey_images_have_one_channel(folder: Path) -> None:
    assert load(folder, channels=1).train.images.shape == (6, 1, 6, 6)


def test_a_folder_with_an_images_name_is_no_image(folder: Path) -> None:
    (folder / "train" / "ant" / "x.jpg").mkdir()
    assert len(load(folder).train) == 6


def test_a_link_to_nowhere_is_named(folder: Path) -> None:
    (folder / "train" / "ant" / "z.png").symlink_to("nowhere")
    with pytest.raises(genophen.DamagedError, match=r"cannot decode the image .*z\.png"):
        load(folder)


def test_images_of_more_than_8_bits_are_not_clipped_in_silence(folder: Path) -> None:
    Image.new("I;16", (6, 6), 30_000).save(folder / "train" / "ant" / "0.png")
    with pytest.raises(genophen.DamagedError, match="more than 8 bits a pixel"):
        load(folder)


def sideways(path: Path, orientation: int) -> None:
    """A photograph, red at the left and blue at the right, that says how it was held."""
    picture = Image.new("RGB", (16, 8), (200, 0, 0))
    picture.paste((0, 0, 200), (8, 0, 16, 8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path.unlink(missing_ok=True)
    picture.save(path, exif=exif)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_as_its_camera_was_held(tmp_path: Path, orientation: int, ending: str) -> None:
    for split in ("train", "test"):
        file = tmp_path / split / "cat" / f"0.{ending}"
        file.parent.mkdir(parents=True)
        sideways(file, orientation)
    with Image.open(file) as picture:
        upright = pil_to_tensor(ImageOps.exif_transpose(picture).convert("RGB"))
    assert torch.equal(load(tmp_path).test.images[0], upright)


def test_an_orientation_is_heeded_before_the_middle_is_cropped(folder: Path) -> None:
    sideways(folder / "train" / "ant" / "0.png", 6)  # the camera was turned to the left: red is on top
    top, bottom = load(folder, image_size=4).train.images[0][:, [0, 3], 1].T.tolist()
    assert top[0] > 150 > top[2]
    assert bottom[2] > 150 > bottom[0]


def earlier_digest(folder: Path, image_size: int | None = None) -> str:
    """The digest of colour images, and the name of their cache, before orientations were heeded."""
    files = [f for split in ("train", "test") for f in sorted((folder / split).rglob("*.png"))]
    sha256 = hashlib.sha256(f"1/3/{image_size}/{len(files)}".encode())
    for file in files:
        content = file.read_bytes()
        sha256.update(f"\0{file.relative_to(folder)}\0{len(content)}\0".encode() + content)
    return sha256.hexdigest()


def test_orientations_alone_change_the_digest_of_earlier_runs(folder: Path) -> None:
    assert load(folder).digest() == earlier_digest(folder)
    sideways(folder / "train" / "ant" / "0.png", 1)
    assert load(folder, image_size=4).digest() == earlier_digest(folder, 4)
    sideways(folder / "train" / "ant" / "0.png", 6)
    decoded, cached = load(folder, image_size=4).digest(), load(folder, image_size=4).digest()
    assert decoded == cached != earlier_digest(folder, 4)


def test_pixels_that_were_cached_unturned_are_not_served(folder: Path, tmp_path: Path) -> None:
    sideways(folder / "train" / "ant" / "0.png", 3)
    entry = tmp_path / "cache" / "genophen" / "image-folder" / earlier_digest(folder, 4)
    entry.mkdir(parents=True)
    unturned = bytes(10 * 3 * 4 * 4)
    (entry / "pixels").write_bytes(unturned)
    description = {"shape": [10, 3, 4, 4], "sha256": hashlib.sha256(unturned).hexdigest()}
    (entry / "description.json").write_text(json.dumps(description))
    assert load(folder, image_size=4).train.images[0, 2, 0, 0] > 150  # blue has come to the left


def test_damaged_orientations_leave_the_pixels_as_they_are(folder: Path) -> None:
    file = folder / "train" / "ant" / "0.png"
    Image.new("RGB", (6, 6), (10, 0, 0)).save(file, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12")
    assert load(folder).train.images[0, 0].unique().tolist() == [10]


@pytest.mark.parametrize("size", [0, 30 * 2**30])
def test_a_file_without_an_end_is_no_image(folder: Path, size: int) -> None:
    file = folder / "train" / "ant" / "9.png"
    if size:
        file.touch()
        os.truncate(file, size)
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(genophen.DamagedError, match=r"cannot decode the image .*train/ant/9\.png") as caught:
        load(folder)
    assert caught.value.found in ("it is a device, not a file", "it has more than 268,435,456 bytes")


@pytest.mark.parametrize("name", ["description.json", "pixels"])
def test_a_cache_without_an_end_is_made_again(folder: Path, name: str, tmp_path: Path) -> None:
    first = load(folder).train.images.clone()
    (file,) = (tmp_path / "cache").rglob(name)
    os.truncate(file, 30 * 2**30)
    assert torch.equal(load(folder).train.images, first)
    file.unlink()
    os.mkfifo(file)
    assert torch.equal(load(folder).train.images, first)

"""Batches: every image once a round, each augmented by itself, on and off the disk alike."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

import genophen
from genophen.contracts.dataset import Data, Split
from genophen.data.augmentation import Augmentation, augment
from genophen.data.batches import (
    EvaluationBatches,
    Normalization,
    TrainBatches,
    check_fit,
    fit_images,
    measure_normalization,
)
from genophen.data.splits import check_data, draw_validation

IDENTITY = Normalization(torch.zeros(1, 1, 1), torch.ones(1, 1, 1))


def numbered(count: int, channels: int = 1, size: int = 4) -> Split:
    """Images that are filled with their own number."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, channels, size, size)
    return Split(images.contiguous(), torch.arange(count))


def batches(split: Split, batch_size: int, seed: int = 0, **augmentation: object) -> TrainBatches:
    shape = (1, *split.images.shape[2:])
    generator = torch.Generator().manual_seed(seed)
    return TrainBatches(split, IDENTITY, shape, batch_size, Augmentation(**augmentation), generator)


def test_a_pass_shows_every_image_once_with_its_label_in_a_new_order() -> None:
    stream = batches(numbered(10), 4)
    assert len(stream) == 3
    passes = []
    for _ in range(2):
        seen = []
        for size in (4, 4, 2):
            images, labels = stream.next()
            assert images.shape == (size, 1, 4, 4)
            assert torch.equal(images[:, 0, 0, 0].long(), labels)
            seen += labels.tolist()
        passes.append(seen)
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(10))
    assert passes[0] != passes[1]


def test_a_last_single_image_is_left_out_but_an_only_one_is_not() -> None:
    assert len(batches(numbered(9), 4)) == 2
    assert len(batches(numbered(1), 4)) == 1


def test_each_image_is_cropped_at_a_place_of_its_own() -> None:
    images = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4).expand(500, 1, 4, 4) + 1
    cropped = augment(images, Augmentation(padding=1), torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images[:1], (1, 1, 1, 1))
    places = [padded[0, :, y : y + 4, x : x + 4] for y in range(3) for x in range(3)]
    counts = [sum(torch.equal(image, place) for image in cropped) for place in places]
    assert sum(counts) == 500  # each is one of the nine crops
    assert min(counts) > 30  # and each crop is about as frequent


def test_each_image_is_flipped_by_a_coin_of_its_own() -> None:
    images = torch.arange(4, dtype=torch.uint8).view(1, 1, 1, 4).expand(400, 3, 2, 4)
    flipped = augment(images, Augmentation(flip=True), torch.Generator().manual_seed(0))
    mirrored = int((flipped[:, 0, 0, 0] == 3).sum())
    assert 150 < mirrored < 250
    assert torch.equal(flipped.sort(-1).values, images)


def test_no_augmentation_changes_nothing_and_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    images = numbered(5).images
    assert torch.equal(augment(images, Augmentation(), generator), images)
    assert torch.equal(generator.get_state(), before)


def test_padding_without_a_crop_is_refused() -> None:
    with pytest.raises(ValidationError, match="padding = 2 needs crop = true"):
        Augmentation(padding=2, crop=False)


def test_a_restored_stream_continues_where_it_was() -> None:
    first = batches(numbered(10), 3, padding=1, flip=True)
    for _ in range(2):
        first.next()
    second = batches(numbered(10), 3, seed=99, padding=1, flip=True)
    second.load_state_dict(first.state_dict())
    for _ in range(6):
        for left, right in zip(first.next(), second.next(), strict=True):
            assert torch.equal(left, right)


def test_normalization_gives_zero_mean_and_unit_deviation_exactly_once() -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 200, (300, 3, 5, 5), dtype=torch.uint8, generator=draws)
    split = Split(images, torch.zeros(300, dtype=torch.int64))
    normalization = measure_normalization(split, (3, 5, 5))
    normalized = normalization(images)
    assert normalized.mean((0, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(normalized.std((0, 2, 3), correction=0), torch.ones(3), rtol=1e-5, atol=0)


def test_a_constant_channel_stays_finite() -> None:
    split = Split(torch.full((4, 1, 2, 2), 9, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    assert bool(torch.isfinite(measure_normalization(split, (1, 2, 2))(split.images)).all())


def test_images_are_resized_and_grey_ones_repeated() -> None:
    fitted = fit_images(numbered(3, size=8).images, (3, 4, 6))
    assert fitted.shape == (3, 3, 4, 6)
    assert fitted.dtype == torch.uint8
    assert torch.equal(fitted[2], torch.full((3, 4, 6), 2, dtype=torch.uint8))


def test_colour_images_do_not_fit_a_grey_network() -> None:
    with pytest.raises(genophen.ConfigError, match="images with 3 channels, an architecture that takes 1"):
        check_fit((3, 8, 8), (1, 8, 8))
    check_fit((1, 8, 8), (3, 32, 32))


def test_evaluation_goes_through_all_images_in_order_and_again() -> None:
    split = draw_validation(Data(numbered(20), numbered(3), ("x",) * 20), 7, seed=0).train
    evaluation = EvaluationBatches(split, IDENTITY, (1, 4, 4), 5)
    for _ in range(2):
        seen = [label for _, labels in evaluation for label in labels.tolist()]
        assert seen == split.rows.tolist()


def test_the_validation_draw_is_seeded_disjoint_and_leaves_the_pixels_where_they_are() -> None:
    data = Data(numbered(100), numbered(5), tuple("abcdefghij" * 10))
    drawn = draw_validation(data, 30, seed=1)
    train, validation = drawn.train.rows.tolist(), drawn.validation.rows.tolist()
    assert (len(train), len(validation)) == (70, 30)
    assert sorted(train + validation) == list(range(100))
    assert draw_validation(data, 30, seed=1).validation.rows.tolist() == validation
    assert draw_validation(data, 30, seed=2).validation.rows.tolist() != validation
    assert drawn.train.images.data_ptr() == data.train.images.data_ptr()


@pytest.mark.parametrize(("images", "expected"), [(60_000, 5_000), (50_000, 5_000), (300, 30)])
def test_the_default_validation_size_is_a_tenth_up_to_5000(images: int, expected: int) -> None:
    split = Split(torch.zeros(images, 1, 1, 1, dtype=torch.uint8), torch.zeros(images, dtype=torch.int64))
    assert len(draw_validation(Data(split, split, ("x",)), None, 0).validation) == expected


def test_a_validation_size_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(genophen.ConfigError, match="validation_size = 100 of 100 training images"):
        draw_validation(Data(numbered(100), numbered(5), ("x",) * 100), 100, 0)


@pytest.mark.parametrize("count", [1, 9])
def test_too_few_images_for_a_tenth_are_no_setting_that_was_made(count: int) -> None:
    with pytest.raises(genophen.ConfigError) as caught:
        draw_validation(Data(numbered(count), numbered(5), ("x",) * 10), None, 0)
    assert caught.value.found == f"too few training images ({count}) to take a tenth of them"
    assert "validation_size" not in caught.value.attempted + caught.value.found
    assert len(draw_validation(Data(numbered(9), numbered(5), ("x",) * 10), 1, 0).validation) == 1


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (Split(torch.zeros(2, 1, 4, 4), torch.zeros(2).long()), "images float32"),
        (Split(torch.zeros(2, 1, 4, 4).byte(), torch.zeros(3).long()), "2 images and 3 labels"),
        (Split(torch.zeros(0, 1, 4, 4).byte(), torch.zeros(0).long()), "0 images and 0 labels"),
        (Split(torch.zeros(2, 1, 4, 4).byte(), torch.tensor([0, 7])), "labels from 0 to 7 for 5 classes"),
        (Split(torch.zeros(2, 1, 4, 4).byte(), torch.zeros(2).long(), torch.tensor([0, 2])), "not positions"),
        (Split([1], [2]), "images list, labels list, not tensors"),
        (Split(torch.zeros(2, 1, 4, 5).byte(), torch.zeros(2).long()), r"image shape \(1, 4, 5\) beside"),
    ],
)
def test_data_that_breaks_the_contract_is_refused(split: Split, said: str) -> None:
    with pytest.raises(genophen.DamagedError, match=said):
        check_data(Data(numbered(5), split, ("x",) * 5), "mine")


def test_the_digest_depends_on_pixels_and_labels_and_not_on_how_they_are_stored() -> None:
    data = draw_validation(Data(numbered(20), numbered(3), ("x",) * 20), 5, seed=0)
    stored = Data(data.train.to(torch.device("cpu")), data.test, data.class_names, data.validation)
    assert stored.digest() == data.digest()
    changed = stored.train.images.clone()
    changed[3, 0, 0, 0] += 1
    assert (
        Data(Split(changed, stored.train.labels), data.test, ("x",), data.validation).digest()
        != data.digest()
    )

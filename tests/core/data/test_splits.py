"""Train, calibration and test are disjoint, named and always the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.prepared import File, ImageSet, check_disjoint, load_prepared, write_prepared
from core.data.samples import load_samples
from core.data.splits import load_split
from core.foundation.errors import UserError


def numbered(root: Path, count: int) -> Path:
    """A data set whose images carry their own number in two bytes."""
    numbers = np.arange(count)
    images = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8)
    files: tuple[File, ...] = ("train", "test")
    for file in files:
        write_prepared(
            "numbers",
            file,
            images.reshape(count, 1, 2, 1),
            numbers % 2,
            ("even", "odd"),
            root,
        )
    return root


@pytest.mark.parametrize(
    ("count", "calibration"), [(2, 1), (99, 9), (49_999, 4_999), (50_000, 5_000), (60_000, 5_000)]
)
def test_train_and_calibration_share_the_training_file(
    count: int, calibration: int, tmp_path: Path
) -> None:
    root = numbered(tmp_path, count)
    train, held_out = (load_split("numbers", part, root) for part in ("train", "calibration"))
    assert (len(train), len(held_out)) == (count - calibration, calibration)
    both = np.concatenate([train.ids, held_out.ids])
    np.testing.assert_array_equal(np.sort(both), np.arange(count))
    last = np.random.RandomState(0).permutation(count)[-calibration:]
    np.testing.assert_array_equal(held_out.ids, last)


@pytest.mark.parametrize("part", ["train", "calibration", "test"])
def test_ids_point_into_the_file(part: Any, tmp_path: Path) -> None:
    root = numbered(tmp_path, 600)
    split = load_split("numbers", part, root)
    assert split.split == part
    pixels = split.images.reshape(-1, 2).astype(np.int64) @ [256, 1]
    np.testing.assert_array_equal(pixels, split.ids)
    np.testing.assert_array_equal(split.labels, split.ids % 2)


def test_the_test_split_is_the_test_file(tmp_path: Path) -> None:
    root = numbered(tmp_path, 10)
    np.testing.assert_array_equal(load_split("numbers", "test", root).ids, np.arange(10))


def test_an_unknown_split_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'calibration'"):
        load_split("mnist", "callibration", tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["train", "calibration", "test"])
def test_without_the_data_set_the_command_is_named(part: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`python -m core data prepare mnist`"):
        load_split("mnist", part, tmp_path)


def test_one_training_image_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 2 training images"):
        load_split("numbers", "train", numbered(tmp_path, 1))


def shuffled_digits(root: Path, *, repeat_first: bool = False) -> Path:
    """The shipped digits as a training set, shuffled among blank images."""
    digits = load_samples("mnist")
    images = np.concatenate([digits.images, np.zeros((50, 28, 28, 1), np.uint8)])
    labels = np.concatenate([digits.labels, np.zeros(50, np.int64)])
    if repeat_first:
        images[-1], labels[-1] = images[0], labels[0]
    order = np.random.RandomState(1).permutation(len(images))
    write_prepared("mnist", "train", images[order], labels[order], digits.classes, root)
    return root


@pytest.mark.parametrize("repeat_first", [False, True])
def test_mnist_calibrates_on_the_shipped_digits(repeat_first: bool, tmp_path: Path) -> None:
    root = shuffled_digits(tmp_path, repeat_first=repeat_first)
    digits, held_out = load_samples("mnist"), load_split("mnist", "calibration", root)
    np.testing.assert_array_equal(held_out.images, digits.images)
    np.testing.assert_array_equal(held_out.labels, digits.labels)
    assert len(np.unique(held_out.ids)) == 5_000
    train = load_split("mnist", "train", root)
    assert len(train) == 50
    assert not np.isin(train.ids, held_out.ids).any()
    if repeat_first:
        twins = [
            index
            for index, image in enumerate(load_prepared("mnist", "train", root).images)
            if np.array_equal(image, digits.images[0])
        ]
        assert held_out.ids[0] == min(twins)


def test_mnist_without_its_digits_is_refused(tmp_path: Path) -> None:
    blank = np.zeros((60, 28, 28, 1), np.uint8)
    classes = tuple("0123456789")
    write_prepared("mnist", "train", blank, np.zeros(60, np.int64), classes, tmp_path)
    with pytest.raises(UserError, match="but got 0"):
        load_split("mnist", "train", tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mnist", (55_000, 5_000, 10_000)),
        ("cifar10", (45_000, 5_000, 10_000)),
        ("tiny-imagenet", (45_000, 5_000, 10_000)),
    ],
)
def test_the_real_splits(name: str, sizes: tuple[int, int, int], prepared_root: Path) -> None:
    parts: tuple[Any, ...] = ("train", "calibration", "test")
    splits = [load_split(name, part, prepared_root) for part in parts]
    assert tuple(len(split) for split in splits) == sizes
    assert not np.isin(splits[1].ids, splits[0].ids).any()


@pytest.mark.data
def test_every_shipped_digit_is_an_original_training_image(prepared_root: Path) -> None:
    digits = load_samples("mnist")
    held_out = load_split("mnist", "calibration", prepared_root)
    np.testing.assert_array_equal(held_out.images, digits.images)
    np.testing.assert_array_equal(held_out.labels, digits.labels)
    assert len(np.unique(held_out.ids)) == 5_000


def test_the_shipped_digits_alone_make_three_disjoint_balanced_splits() -> None:
    digits = load_samples("mnist")
    parts = {part: load_split("mnist-samples", part) for part in ("train", "calibration", "test")}  # type: ignore[arg-type]
    assert [len(part) for part in parts.values()] == [4_000, 500, 500]
    ids = np.concatenate([part.ids for part in parts.values()])
    np.testing.assert_array_equal(np.sort(ids), np.arange(5_000))
    for name, part in parts.items():
        assert (part.name, part.split) == ("mnist-samples", name)
        np.testing.assert_array_equal(part.images, digits.images[part.ids])
        assert len(set(np.bincount(part.labels).tolist())) == 1
        again = load_split("mnist-samples", name)  # type: ignore[arg-type]
        np.testing.assert_array_equal(part.ids, again.ids)


def test_calibration_images_that_are_test_images_are_refused() -> None:
    calibration, test = (
        load_split("mnist-samples", "calibration"),
        load_split("mnist-samples", "test"),
    )
    check_disjoint(calibration, test)
    few = np.arange(len(test))
    images = test.images.copy()
    images[few[:6]] = calibration.images[:6]
    mixed = ImageSet.counted(test.name, "test", images, test.labels, test.classes)
    with pytest.raises(UserError, match="but 6 of 500 calibration images are in both"):
        check_disjoint(calibration, mixed)

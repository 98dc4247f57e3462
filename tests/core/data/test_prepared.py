"""Prepared data sets are read whole, or refused in a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.prepared import (
    ImageSet,
    load_prepared,
    prepared_names,
    write_prepared,
)
from core.foundation.errors import UserError

CLASSES = ("cat", "dog")
IMAGES = np.arange(4 * 2 * 3 * 1, dtype=np.uint8).reshape(4, 2, 3, 1)
LABELS = np.array([0, 1, 1, 0])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write_prepared("pets", "test", IMAGES, LABELS, CLASSES, tmp_path)
    assert path == tmp_path / "pets" / "test.npz"
    pets = load_prepared("pets", "test", tmp_path)
    assert (pets.name, pets.split, pets.classes, len(pets)) == ("pets", "test", CLASSES, 4)
    np.testing.assert_array_equal(pets.images, IMAGES)
    np.testing.assert_array_equal(pets.labels, LABELS)
    np.testing.assert_array_equal(pets.ids, [0, 1, 2, 3])
    assert pets.labels.dtype == pets.ids.dtype == np.int64


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (("ladybug, ladybeetle", "chimpanzee, chimp"), ("ladybug", "chimpanzee")),
        (("crane, a bird", "crane, a machine"), ("crane, a bird", "crane, a machine")),
    ],
)
def test_of_synonyms_the_first_names_the_class_if_it_is_one(
    written: tuple[str, ...], read: tuple[str, ...], tmp_path: Path
) -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    write_prepared("words", "train", images, np.arange(2), written, tmp_path)
    assert load_prepared("words", "train", tmp_path).classes == read


@pytest.mark.parametrize("index", [[2, 0], np.array([True, False, True, False]), []])
def test_selecting_keeps_images_labels_and_ids_together(index: Any) -> None:
    whole = ImageSet("pets", "test", IMAGES, LABELS, CLASSES, np.arange(10, 14))
    part = whole.select(index)
    for label, identity, image in zip(part.labels, part.ids, part.images, strict=True):
        assert label == LABELS[identity - 10]
        np.testing.assert_array_equal(image, IMAGES[identity - 10])
    assert len(part) == (2 if len(index) else 0)


def test_missing_data_set_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`python -m core data prepare mnist`"):
        load_prepared("mnist", "train", tmp_path)


def test_misspelt_data_set_suggests_the_prepared_one(tmp_path: Path) -> None:
    write_prepared("pets", "train", IMAGES, LABELS, CLASSES, tmp_path)
    assert prepared_names(tmp_path) == ["pets"]
    with pytest.raises(UserError, match="Did you mean 'pets'"):
        load_prepared("pest", "train", tmp_path)


@pytest.mark.parametrize("name", ["../etc", "", "/etc", "a/b", "UPPER", "..", "x\n"])
def test_a_name_never_leaves_the_root(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name of a data set"):
        load_prepared(name, "train", tmp_path)


def test_an_unknown_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'train' or 'test'"):
        load_prepared("mnist", "../x", tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("images", IMAGES.astype(np.float32)),
        ("images", IMAGES[..., 0]),
        ("images", np.zeros((4, 2, 3, 2), np.uint8)),
        ("images", np.zeros((4, 0, 3, 1), np.uint8)),
        ("images", IMAGES[:3]),
        ("labels", LABELS.astype(np.float64)),
        ("labels", LABELS - 1),
        ("labels", LABELS + 1),
        ("labels", LABELS[:, None]),
        ("classes", np.array([])),
        ("classes", np.array(["cat", "cat"])),
        ("classes", np.array([1, 2])),
        ("classes", np.array([["cat", "dog"]])),
        ("classes", np.array(["cat", "dog"], dtype=object)),
        ("images", None),
        ("labels", None),
        ("classes", None),
    ],
)
def test_a_damaged_field_is_named_with_its_file(field: str, value: Any, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"images": IMAGES, "labels": LABELS, "classes": np.array(CLASSES)}
    if value is None:
        del fields[field]
    else:
        fields[field] = value
    (tmp_path / "pets").mkdir()
    np.savez(tmp_path / "pets" / "train.npz", **fields)
    with pytest.raises(UserError, match=r"train\.npz") as caught:
        load_prepared("pets", "train", tmp_path)
    named = "labels" if field == "images" and value is not None and len(value) == 3 else field
    assert named in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped", "array"])
def test_a_damaged_file_is_named(damage: str, tmp_path: Path) -> None:
    path = write_prepared("pets", "train", IMAGES, LABELS, CLASSES, tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "empty":
        content.clear()
    elif damage == "text":
        content[:] = b"hello"
    elif damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "flipped":
        content[content.index(IMAGES.tobytes()) + 1] ^= 255
    path.write_bytes(content)
    if damage == "array":
        with path.open("wb") as stream:
            np.save(stream, IMAGES)
    with pytest.raises(UserError, match=r"pets.train\.npz"):
        load_prepared("pets", "train", tmp_path)


def test_a_bad_set_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="labels"):
        write_prepared("pets", "train", IMAGES, LABELS + 5, CLASSES, tmp_path)
    assert not list(tmp_path.rglob("*.npz"))


def test_ids_must_match_the_images() -> None:
    with pytest.raises(UserError, match="ids"):
        ImageSet("pets", "test", IMAGES, LABELS, CLASSES, np.arange(3))

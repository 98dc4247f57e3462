"""The shipped samples are whole and labelled."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.samples import load_sample_pictures, load_samples, sample_names
from core.data.transform import EvaluationTransform
from core.foundation.errors import UserError
from core.foundation.places import SAMPLES

PHOTOS = EvaluationTransform.square(96, 3, (0.5,) * 3, (0.5,) * 3)


def test_three_sets_are_shipped() -> None:
    assert sample_names() == ["cifar10", "mnist", "photos"]


def test_photographs_of_several_sizes_are_brought_to_that_of_a_network() -> None:
    pictures = load_sample_pictures("photos")
    images = load_samples("photos", transform=PHOTOS)
    assert 60 <= len(pictures) <= 100
    assert images.images.shape == (len(pictures), 96, 96, 3)
    assert images.classes == pictures.classes
    assert len(images.classes) == 93
    np.testing.assert_array_equal(images.labels, pictures.labels)
    np.testing.assert_array_equal(images.images[7], PHOTOS.pixels(pictures.picture(7)))
    size = sum(path.stat().st_size for path in (SAMPLES / "photos").iterdir())
    assert size < 3e6


def test_arrays_are_no_pictures() -> None:
    with pytest.raises(UserError, match="they are arrays"):
        load_sample_pictures("mnist")


@pytest.mark.parametrize(
    ("name", "shape"), [("mnist", (5_000, 28, 28, 1)), ("cifar10", (20, 32, 32, 3))]
)
def test_shapes_and_classes(name: str, shape: tuple[int, ...]) -> None:
    samples = load_samples(name)
    assert samples.images.shape == shape
    assert samples.num_classes == 10
    np.testing.assert_array_equal(samples.ids, np.arange(shape[0]))


def test_digits_are_balanced() -> None:
    np.testing.assert_array_equal(np.bincount(load_samples("mnist").labels), [500] * 10)


def test_cifar10_starts_as_the_official_test_set_does() -> None:
    samples = load_samples("cifar10")
    names = [samples.classes[label] for label in samples.labels[:5]]
    assert names == ["cat", "ship", "ship", "airplane", "frog"]


def test_unknown_samples_suggest_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'mnist'"):
        load_samples("minst")


def write_folder(folder: Path) -> None:
    (folder / "pets").mkdir()
    (folder / "pets" / "classes.txt").write_text("cat\ndog\n")
    Image.new("RGB", (4, 3), "red").save(folder / "pets" / "0_dog.png")


def test_a_further_folder_needs_no_code(tmp_path: Path) -> None:
    write_folder(tmp_path)
    assert sample_names(tmp_path) == ["pets"]
    pets = load_samples("pets", tmp_path)
    assert pets.images.shape == (1, 3, 4, 3)
    assert pets.labels.tolist() == [1]


def test_damaged_samples_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "pets" / "1_cat.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"1_cat\.png"):
        load_samples("pets", tmp_path)


def test_a_label_outside_the_classes_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path)
    Image.new("RGB", (4, 3)).save(tmp_path / "pets" / "1_cow.png")
    with pytest.raises(UserError, match="'cow'"):
        load_samples("pets", tmp_path)


def test_samples_of_several_sizes_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path)
    Image.new("RGB", (5, 5)).save(tmp_path / "pets" / "1_cat.png")
    with pytest.raises(UserError, match="one size"):
        load_samples("pets", tmp_path)

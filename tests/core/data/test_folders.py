"""Folders of pictures become train and test."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import folders
from core.data.folders import read_folder
from core.data.pictures import PictureSet
from core.data.prepared import ImageSet
from core.foundation.errors import UserError


def picture(path: Path, value: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    """A picture of one grey, by which it is recognised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path)


def pets(folder: Path, each: int = 10, start: int = 0) -> Path:
    for label, name in enumerate(("cat", "dog")):
        for number in range(each):
            picture(folder / name / f"{number:02}.png", start + 100 * label + number)
    return folder


def values(images: np.ndarray) -> list[int]:
    return [int(value) for value in images[:, 0, 0, 0]]


def test_class_folders_are_split_by_class(tmp_path: Path) -> None:
    train, test = read_folder("pets", pets(tmp_path), progress=False)
    assert train.classes == test.classes == ("cat", "dog")
    assert train.images.shape == (16, 8, 8, 3)
    assert np.bincount(test.labels).tolist() == [2, 2]
    assert sorted(values(train.images) + values(test.images)) == [*range(10), *range(100, 110)]
    for part in (train, test):
        assert [value // 100 for value in values(part.images)] == part.labels.tolist()


def test_the_split_is_always_the_same(tmp_path: Path) -> None:
    first, second = (read_folder("pets", pets(tmp_path), progress=False)[1] for _ in range(2))
    np.testing.assert_array_equal(first.images, second.images)


@pytest.mark.parametrize("test_folder", ["test", "val"])
def test_a_given_split_is_kept(test_folder: str, tmp_path: Path) -> None:
    pets(tmp_path / "train")
    pets(tmp_path / test_folder, each=3, start=50)
    train, test = read_folder("pets", tmp_path, progress=False)
    assert (len(train), len(test)) == (20, 6)
    assert values(test.images) == [50, 51, 52, 150, 151, 152]
    assert test.labels.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_val_beside_test_is_the_calibration_split(name: str, tmp_path: Path) -> None:
    pets(tmp_path / "train")
    pets(tmp_path / name, each=2, start=50)
    pets(tmp_path / "test", each=3, start=60)
    train, calibration, test = read_folder("pets", tmp_path, progress=False)
    assert [one.split for one in (train, calibration, test)] == ["train", "calibration", "test"]
    assert [len(one) for one in (train, calibration, test)] == [20, 4, 6]
    assert values(calibration.images) == [50, 51, 150, 151]
    assert values(test.images) == [60, 61, 62, 160, 161, 162]


@pytest.mark.parametrize("other", ["train", "test"])
def test_calibration_images_that_are_in_another_split_are_refused(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pets(tmp_path / "train")
    pets(tmp_path / "test", each=3, start=60)
    pets(tmp_path / "val", each=3, start=0 if other == "train" else 60)
    notes: list[str] = []
    assert len(read_folder("pets", tmp_path, progress=False, on_note=notes.append)) == 3
    monkeypatch.setattr(folders, "ENOUGH_TO_PROMISE", 6)
    with pytest.raises(UserError, match=rf"calibration and the {other} images .* 6 of 6") as caught:
        read_folder("pets", tmp_path, progress=False)
    assert notes == [f"warning: {caught.value}"]  # from fewer, nothing is promised


def test_two_folders_for_one_split_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    pets(tmp_path / "train")
    pets(tmp_path / "test", each=3, start=60)
    (tmp_path / "val" / "cat").mkdir(parents=True)
    with pytest.raises(UserError, match="images for the calibration split"):
        read_folder("pets", tmp_path, progress=False)
    pets(tmp_path / "validation", each=3, start=70)
    with pytest.raises(UserError, match="but got val and validation"):
        read_folder("pets", tmp_path, progress=False)


def test_train_alone_is_split(tmp_path: Path) -> None:
    pets(tmp_path / "train")
    assert len(read_folder("pets", tmp_path, progress=False)[1]) == 4


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for number in range(5):
        picture(tmp_path / "train" / f"{number}.png", 1)
        picture(tmp_path / "bus" / f"{number}.png", 2)
    assert read_folder("traffic", tmp_path, progress=False)[0].classes == ("bus", "train")


def tiny(folder: Path, words: str = "n01\tstork, bird\nn02\tcrane, machine\n") -> Path:
    for value, wnid in ((10, "n01"), (20, "n02")):
        for number in range(3):
            picture(folder / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", value, (64, 64))
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("x")
    for number, value in enumerate((20, 10)):
        picture(folder / "val" / "images" / f"val_{number}.JPEG", value, (64, 64))
        picture(folder / "test" / "images" / f"test_{number}.JPEG", value, (64, 64))
    rows = "val_0.JPEG\tn02\t0\t0\t9\t9\nval_1.JPEG\tn01\t0\t0\t9\t9\n"
    (folder / "val" / "val_annotations.txt").write_text(rows)
    (folder / "wnids.txt").write_text("n02\nn01\n")
    (folder / "words.txt").write_text(words)
    return folder


def test_tiny_imagenets_own_layout(tmp_path: Path) -> None:
    train, test = read_folder("tiny-imagenet", tiny(tmp_path), progress=False)
    assert train.classes == ("crane", "stork")  # in the order of wnids.txt
    assert train.images.shape == (6, 64, 64, 3)
    assert values(test.images) == [20, 10]
    assert test.labels.tolist() == [0, 1]
    assert sorted(zip(values(train.images), train.labels.tolist(), strict=True))[::3] == [
        (10, 1),
        (20, 0),
    ]


def test_classes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    tiny(tmp_path, words="n01\tcrane, bird\nn02\tcrane, machine\n")
    train, _ = read_folder("tiny-imagenet", tmp_path, progress=False)
    assert train.classes == ("crane (n02)", "crane (n01)")


def test_without_lists_the_folder_names_are_used(tmp_path: Path) -> None:
    tiny(tmp_path)
    (tmp_path / "wnids.txt").unlink()
    (tmp_path / "words.txt").unlink()
    train, _ = read_folder("tiny-imagenet", tmp_path, progress=False)
    assert train.classes == ("n01", "n02")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("val/val_annotations.txt", "val_0.JPEG\tn99\t0\n"),
        ("val/val_annotations.txt", "../../secret.png\tn01\t0\n"),
        ("val/val_annotations.txt", "nothing useful\n"),
        ("val/val_annotations.txt", "missing.JPEG\tn01\t0\n"),
        ("val/val_annotations.txt", ""),
        ("wnids.txt", "n01\n"),
    ],
)
def test_damaged_tiny_imagenet_lists_are_refused(file: str, content: str, tmp_path: Path) -> None:
    tiny(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError):
        read_folder("tiny-imagenet", tmp_path, progress=False)


def test_pictures_are_resized(tmp_path: Path) -> None:
    train = read_folder("pets", pets(tmp_path), 5, False)[0]
    assert isinstance(train, ImageSet)
    assert train.images.shape == (16, 5, 5, 3)


@pytest.mark.parametrize("size", [(30, 10), (129, 129)])
def test_pictures_of_several_or_large_sizes_stay_as_they_are(
    size: tuple[int, int], tmp_path: Path
) -> None:
    for name in ("cat", "dog"):
        for number in range(5):
            picture(tmp_path / name / f"{number}.png", 1, size)
    train, test = read_folder("pets", tmp_path, progress=False)
    assert isinstance(train, PictureSet)
    assert isinstance(test, PictureSet)
    assert (len(train), len(test)) == (8, 2)
    assert train[7][0].size == size
    assert train[7][1] == train.classes.index("dog")


def test_all_grey_stays_grey(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(5):
            picture(tmp_path / name / f"{number}.png", 7, mode="L")
    assert read_folder("grey", tmp_path, progress=False)[0].images.shape[3] == 1


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    pets(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("hello")
    (tmp_path / "cat" / "._00.png").write_text("left by another system")
    (tmp_path / ".cache").mkdir()
    train, test = read_folder("pets", tmp_path, progress=False)
    assert len(train) + len(test) == 20


def test_one_broken_picture_is_named(tmp_path: Path) -> None:
    pets(tmp_path)
    (tmp_path / "dog" / "03.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"dog.03\.png"):
        read_folder("pets", tmp_path, progress=False)


@pytest.mark.parametrize("names", [(), ("cat",)])
def test_fewer_than_two_classes_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    for folder in names:
        picture(tmp_path / folder / "0.png", 1)
    with pytest.raises(UserError, match="at least 2 folders of images"):
        read_folder("pets", tmp_path, progress=False)


def test_an_empty_class_is_none_and_is_named(tmp_path: Path) -> None:
    pets(tmp_path)
    (tmp_path / "cow").mkdir()
    notes: list[str] = []
    train, _ = read_folder("pets", tmp_path, progress=False, on_note=notes.append)
    assert train.classes == ("cat", "dog")
    assert notes == [f"No class, as there are no images in it: cow in {tmp_path}."]


def test_a_class_only_in_test_is_refused(tmp_path: Path) -> None:
    pets(tmp_path / "train")
    pets(tmp_path / "test")
    picture(tmp_path / "test" / "cow" / "0.png", 1)
    with pytest.raises(UserError, match="'cow'"):
        read_folder("pets", tmp_path, progress=False)


def test_too_few_pictures_for_a_test_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="test split"):
        read_folder("pets", pets(tmp_path, each=1), progress=False)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        read_folder("pets", tmp_path / "nowhere", progress=False)


def test_an_impossible_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 1 pixel"):
        read_folder("pets", pets(tmp_path), 0, progress=False)

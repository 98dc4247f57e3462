import numpy as np
import pytest

from core.data.class_folders import ClassFolders, class_folders, readable
from core.data.uploads import uploaded_files
from core.foundation.errors import UserError
from tests.core.data.pictures import png


def folders(counts: dict[str, int], content: bytes | None = None) -> ClassFolders:
    picture = png(0) if content is None else content
    files = [
        (f"set/{name}/{index}.png", picture)
        for name, count in counts.items()
        for index in range(count)
    ]
    return class_folders(uploaded_files(files, "'mine.zip'"))


def test_classes_are_the_sorted_folders() -> None:
    found = folders({"dog": 6, "Cat": 5, "10": 5})
    assert found.classes == ("10", "Cat", "dog")
    assert np.bincount(found.labels).tolist() == [5, 5, 6]
    picture, label = found[0]
    assert (picture.size, label) == ((8, 8), 0)


def test_the_three_parts_share_no_picture_and_have_every_class() -> None:
    found = folders({"cat": 5, "dog": 50})
    parts = found.split()
    names = [{file.name for file in part.files} for part in parts]
    assert set.union(*names) == {file.name for file in found.files}
    assert sum(map(len, names)) == len(found)
    assert [np.bincount(part.labels).tolist() for part in parts] == [[3, 30], [1, 10], [1, 10]]
    assert [part.labels.tolist() for part in found.split()] == [
        part.labels.tolist() for part in parts
    ]


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"cat": 9}, "the only folder is 'cat'"),
        ({"cat": 9, "dog": 4}, "of 'dog' there are 4"),
        ({f"{number:04}": 1 for number in range(1001)}, "at most 1,000 class folders"),
    ],
)
def test_folders_that_are_no_classes_are_a_sentence(counts: dict[str, int], says: str) -> None:
    with pytest.raises(UserError, match=says):
        folders(counts)


def test_pictures_without_folders_are_a_sentence() -> None:
    with pytest.raises(UserError, match="there are none"):
        class_folders(uploaded_files([("a.png", b"x")], "'mine.zip'"))


def test_damaged_pictures_are_left_out_until_too_few_are_left() -> None:
    good = png(0)
    files = [(f"{name}/{index}.png", good) for name in "ab" for index in range(5)]
    whole = class_folders(uploaded_files([*files, ("a/broken.png", b"x")], "'mine.zip'"))
    heard: list[float] = []
    found, skipped = readable(whole, lambda fraction, message: heard.append(fraction))
    assert (len(found), [one.name for one in skipped]) == (10, ["a/broken.png"])
    assert len(heard) == 11
    with pytest.raises(UserError, match="at least 5"):
        readable(folders({"a": 5, "b": 5}, b"x"), lambda fraction, message: None)


def brought(counts: dict[str, int]) -> ClassFolders:
    """Pictures of cats and dogs in folders of splits, so many of each class."""
    files = [
        (f"set/{split}/{name}/{index}.png", png(0))
        for split, count in counts.items()
        for name in ("cat", "dog")
        for index in range(count)
    ]
    return class_folders(uploaded_files(files, "'mine.zip'"))


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_folders_named_after_splits_are_these_splits(name: str) -> None:
    found = brought({"train": 10, name: 2, "test": 3})
    assert found.classes == ("cat", "dog")
    assert found.named == ("train", "calibration", "test")
    folders_of = [{file.name.split("/")[1] for file in part.files} for part in found.split()]
    assert folders_of == [{"train"}, {name}, {"test"}]
    assert [len(part) for part in found.split()] == [20, 4, 6]


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_a_split_that_was_not_brought_is_held_out_from_training(held_out: str) -> None:
    found = brought({"train": 10, held_out: 3})
    training, calibration, test = found.split()
    assert [len(part) for part in (training, calibration, test)] == [16, 4, 6]
    assert {file.name.split("/")[1] for file in calibration.files} == {"train"}
    assert {file.name.split("/")[1] for file in test.files} == {held_out}
    names = [{file.name for file in part.files} for part in (training, calibration)]
    assert not names[0] & names[1]


def test_damaged_pictures_do_not_change_who_is_for_what() -> None:
    files = [
        (f"{split}/{name}/{index}.png", b"x" if index == 0 else png(0))
        for split in ("test", "train", "val")
        for name in ("a", "b")
        for index in range(6)
    ]
    whole = class_folders(uploaded_files(files, "'mine.zip'"))
    opened, skipped = readable(whole, lambda fraction, message: None)
    assert len(skipped) == 6
    for part, split in zip(opened.split(), ("train", "val", "test"), strict=True):
        assert {file.name.split("/")[0] for file in part.files} == {split}


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        (
            {"train": 4, "val": 9, "test": 9},
            "5 pictures of every class for training .* are 4",
        ),
        ({"train": 9, "val": 9, "valid": 9, "test": 9}, "but got val and valid"),
        ({"train": 9, "test": 9, "more": 9}, "in train or test, as some do, but got 'more'"),
    ],
)
def test_splits_that_are_unclear_are_a_sentence(counts: dict[str, int], says: str) -> None:
    with pytest.raises(UserError, match=says):
        brought(counts)

"""Kinds of files that people have, on every way in: what is right for each."""

import io
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.archives import files_in_zip
from core.data.class_folders import class_folders
from core.data.folders import read_folder
from core.data.images import open_image
from core.data.transform import EvaluationTransform
from core.data.uploads import Collection, OwnReader, files_in_folder, uploaded_files
from core.foundation.errors import UserError
from tests.core.data.pictures import packed

Files = dict[str, bytes]


def encoded(value: int, kind: str = "JPEG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (48, 48), (value, 255 - value, 7 * value % 256)).save(content, kind)
    return content.getvalue()


def written(files: Files, folder: Path) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def by_folder(files: Files, folder: Path) -> Collection:
    return files_in_folder(".", written(files, folder))


def by_upload(files: Files, folder: Path) -> Collection:
    return uploaded_files(list(files.items()), "the folder")


def by_zip(files: Files, folder: Path) -> Collection:
    return files_in_zip(packed(files), "mine.zip")


WAYS = pytest.mark.parametrize("bring", [by_folder, by_upload, by_zip])
Bring = Callable[[Files, Path], Collection]


def read(collection: Collection, classes: tuple[str, ...] = ("cat", "dog")) -> OwnReader:
    square = EvaluationTransform.square(8, 3, (0, 0, 0), (1, 1, 1))
    reader = OwnReader(classes, square, light_on_dark=False)
    for file in collection.files:
        reader.read(file)
    return reader


SPLITS = {
    f"{split}/{name}/{number}.jpg": encoded(40 * at + 10 * label + number)
    for at, split in enumerate(("Train", "Test", "VAL"))
    for label, name in enumerate(("cat", "dog"))
    for number in range(6)
}
LITTER = {
    **{f"{name}/{number}.jpg": encoded(number) for name in ("cat", "dog") for number in range(4)},
    "@eaDir/SYNO.jpg": encoded(1),
    "cat/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg": encoded(2),
    "cat/.DS_Store": bytes(64),
    "cat/Thumbs.db": bytes(64),
    "dog/._0.jpg": bytes(64),
    "dog/notes.txt": b"not a picture",
}
ENDINGS = {
    "cat/windows.jfif": encoded(1),
    "cat/LOUD.JPEG": encoded(2),
    "cat/none": encoded(3),
    "dog/really-a-png.jpg": encoded(4, "PNG"),
    "dog/really-a-webp.png": encoded(5, "WEBP"),
    "dog/two.jpg": encoded(6),
}
BROKEN = {
    **{f"{name}/{number}.jpg": encoded(number) for name in ("cat", "dog") for number in range(4)},
    "cat/nothing.jpg": b"",
    "dog/half.jpg": encoded(9)[:300],
    "dog/page.jpg": b"<!DOCTYPE html><html>404</html>",
    "dog/really-avif.jpg": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf",
}


def test_a_folder_of_splits_in_any_case_is_these_splits(tmp_path: Path) -> None:
    sets = read_folder("pets", written(SPLITS, tmp_path), progress=False)
    assert [one.split for one in sets] == ["train", "calibration", "test"]
    assert {one.classes for one in sets} == {("cat", "dog")}
    assert [len(one) for one in sets] == [12, 12, 12]


@WAYS
def test_splits_in_any_case_are_brought(bring: Bring, tmp_path: Path) -> None:
    found = class_folders(bring(SPLITS, tmp_path))
    assert found.classes == ("cat", "dog")
    assert found.named == ("train", "calibration", "test")


def test_a_folder_with_litter_has_its_pictures_and_says_what_is_left_out(tmp_path: Path) -> None:
    written(LITTER, tmp_path)
    (tmp_path / "empty class").mkdir()
    notes: list[str] = []
    train, test = read_folder("pets", tmp_path, progress=False, on_note=notes.append)
    assert train.classes == ("cat", "dog")
    assert len(train) + len(test) == 8
    told = " ".join(notes)
    for part in ("empty class", "dog/notes.txt", "4 files of the system's own"):
        assert part in told


@WAYS
def test_litter_is_passed_over_and_counted(bring: Bring, tmp_path: Path) -> None:
    found = bring(LITTER, tmp_path)
    assert len(found.files) == 8
    assert [one.name for one in found.skipped] == ["dog/notes.txt"]
    assert found.litter == 5


def test_in_a_folder_content_decides_not_the_ending(tmp_path: Path) -> None:
    train, test = read_folder("pets", written(ENDINGS, tmp_path), progress=False)
    assert len(train) + len(test) == 6


@WAYS
def test_content_decides_not_the_ending(bring: Bring, tmp_path: Path) -> None:
    pictures = read(bring(ENDINGS, tmp_path)).all_read()
    assert sorted(pictures.names) == sorted(ENDINGS)
    assert pictures.labels.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@WAYS
def test_accents_written_apart_are_the_same_label(bring: Bring, form: str, tmp_path: Path) -> None:
    names = ("café", "naïve")
    files = {
        f"{unicodedata.normalize('NFD', name)}/{number}.jpg": encoded(number)
        for name in names
        for number in range(3)
    }
    classes = tuple(unicodedata.normalize(form, name) for name in names)
    pictures = read(bring(files, tmp_path), classes).all_read()
    assert pictures.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert pictures.names[0] == "café/0.jpg"


@WAYS
def test_one_name_in_two_folders_stays_two(bring: Bring, tmp_path: Path) -> None:
    found = bring({"one/a.png": encoded(1, "PNG"), "two/a.png": encoded(2, "PNG")}, tmp_path)
    assert read(found).all_read().names == ("one/a.png", "two/a.png")


def test_names_that_look_the_same_are_numbered() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, name in enumerate(("a.png", "A.png", "é.png", "e\u0301.png")):
            archive.writestr(name, encoded(number, "PNG"))
    content = io.BytesIO(content.getvalue().replace(b"A.png", b"a.png"))
    found = files_in_zip(content.getvalue(), "mine.zip")
    assert [file.name for file in found.files] == ["a.png", "a (2).png", "é.png", "é (2).png"]
    assert len({file.read() for file in found.files}) == 4


def test_an_archive_in_an_older_code_page_has_readable_names() -> None:
    content = bytearray(packed({"1234/1.png": encoded(1, "PNG")}))
    while (at := content.find(b"1234")) >= 0:
        content[at : at + 4] = "кот!".encode("cp866")
    (file,) = files_in_zip(bytes(content), "mine.zip").files
    assert file.name == "кот!/1.png"
    assert file.read() == encoded(1, "PNG")


@pytest.mark.parametrize("bits", [12, 16])
def test_values_are_scaled_by_the_depth_in_use(bits: int, tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 2**bits - 1, 64).astype(np.uint16), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    opened = open_image(tmp_path / "deep.png")
    assert opened.image.getextrema() == (0, 255)
    assert opened.notes


def test_a_folder_says_which_values_were_scaled(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 4095, 64).astype(np.uint16), (64, 1))
    for name in ("cat", "dog"):
        written({f"{name}/{number}.jpg": encoded(number) for number in range(2)}, tmp_path)
        Image.fromarray(ramp).save(tmp_path / name / "deep.png")
    notes: list[str] = []
    read_folder("pets", tmp_path, 8, progress=False, on_note=notes.append)
    assert len(notes) == 1
    for part in ("12 of 16 bits", "cat/deep.png", "dog/deep.png"):
        assert part in notes[0]


def test_48_megapixels_are_read_at_a_quarter_of_their_size(tmp_path: Path) -> None:
    Image.new("RGB", (8064, 6048), (9, 8, 7)).save(tmp_path / "large.jpg")
    opened = open_image(tmp_path / "large.jpg")
    assert opened.image.size == (2016, 1512)
    assert "49 million pixels were read at 1/4 of its width and height" in opened.notes[0]


def test_a_folder_with_broken_pictures_is_refused_with_the_list(tmp_path: Path) -> None:
    written(BROKEN, tmp_path)
    with pytest.raises(UserError) as caught:
        read_folder("pets", tmp_path, progress=False)
    reasons = ("nothing.jpg (it is empty)", "half.jpg (it is damaged", "(it is a web page)")
    for part in (*reasons, "AVIF without a picture", "--skip-broken", "12 images", "4 are not"):
        assert part in str(caught.value)


def test_without_its_broken_pictures_a_folder_is_read(tmp_path: Path) -> None:
    notes: list[str] = []
    written(BROKEN, tmp_path)
    train, test = read_folder(
        "pets", tmp_path, progress=False, skip_broken=True, on_note=notes.append
    )
    assert len(train) + len(test) == 8
    assert "nothing.jpg (it is empty)" in notes[0]


def test_a_class_of_nothing_but_broken_pictures_is_named(tmp_path: Path) -> None:
    written(BROKEN, tmp_path)
    for number in range(4):
        (tmp_path / "cat" / f"{number}.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="none of 'cat'"):
        read_folder("pets", tmp_path, progress=False, skip_broken=True)


@WAYS
def test_broken_pictures_are_listed_and_the_others_read(bring: Bring, tmp_path: Path) -> None:
    pictures = read(bring(BROKEN, tmp_path)).all_read()
    assert len(pictures) == 8
    assert [one.name for one in pictures.skipped] == sorted(set(BROKEN) - set(pictures.names))


NUMBERS = {
    f"{name}/{number}.png": encoded(20 * name + number, "PNG")
    for name in range(1, 13)
    for number in range(5)
}


def test_classes_named_by_numbers_are_told_and_may_be_sorted(tmp_path: Path) -> None:
    notes: list[str] = []
    written(NUMBERS, tmp_path)
    train, _ = read_folder("numbers", tmp_path, progress=False, on_note=notes.append)
    assert train.classes[:4] == ("1", "10", "11", "12")
    assert "`--natural-order`" in notes[0]
    train, _ = read_folder("numbers", tmp_path, progress=False, natural=True)
    assert train.classes == tuple(map(str, range(1, 13)))


@WAYS
def test_classes_named_by_numbers_may_be_put_in_order(bring: Bring, tmp_path: Path) -> None:
    found = class_folders(bring(NUMBERS, tmp_path))
    ordered = found.in_order([str(number) for number in range(1, 13)])
    for file, label in zip(ordered.files, ordered.labels, strict=True):
        assert int(file.name.split("/")[0]) == label + 1

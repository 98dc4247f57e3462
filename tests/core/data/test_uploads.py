"""Somebody's own pictures."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import uploads
from core.data.images import MAX_BYTES
from core.data.transform import EvaluationTransform
from core.data.uploads import (
    OwnFile,
    OwnReader,
    Skipped,
    collected,
    files_in_folder,
    plain_path,
    shown,
    uploaded_files,
)
from core.foundation.errors import UserError
from tests.core.data.pictures import png

CLASSES = ("tabby cat", "Dog", "3")


def reader(light_on_dark: bool = False, channels: int = 3) -> OwnReader:
    square = EvaluationTransform.square(8, channels, (0,) * channels, (1,) * channels)
    return OwnReader(CLASSES, square, light_on_dark)


def file(name: str, content: bytes | None = None) -> OwnFile:
    body = png(10) if content is None else content
    return OwnFile(name, lambda most=MAX_BYTES + 1: body[:most])


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Tabby_Cat/1.png", 0),
        ("mine/TABBY-CAT/deep/1.png", 0),
        ("dog/cat/1.png", 1),
        ("3/dog/1.png", 1),  # the innermost counts
        ("dog/3/1.png", 2),
        ("kittens/1.png", -1),
        ("dog.png", -1),
        ("dogs/1.png", -1),
    ],
)
def test_folders_that_are_called_like_classes_are_labels(name: str, label: int) -> None:
    one = reader()
    one.read(file(name))
    assert one.all_read().labels.tolist() == [label]


def test_folders_that_are_called_like_none_are_named() -> None:
    one = reader()
    for name in ("dog/1.png", "kittens/1.png", "kittens/2.png", "mice/1.png", "alone.png"):
        one.read(file(name))
    pictures = one.all_read()
    assert pictures.strange_folders == (("kittens", 2), ("mice", 1))
    assert pictures.labelled == 1
    assert pictures.labels.dtype == np.int64


def test_what_cannot_be_read_is_skipped_with_its_reason() -> None:
    def gone(most: int = 0) -> bytes:
        raise FileNotFoundError(2, "No such file or directory")

    one = reader()
    assert one.read(file("a.png", b"no picture")) is None
    assert one.read(OwnFile("b.png", gone)) is None
    assert one.read(file("c.png", bytes(MAX_BYTES + 1))) is None
    assert one.read(file("d.png")) is not None
    pictures = one.all_read([Skipped("notes.txt", "not a picture")])
    assert pictures.names == ("d.png",)
    assert pictures.pixels.shape == (1, 8, 8, 3)
    assert [skipped.name for skipped in pictures.skipped] == [
        "notes.txt",
        "a.png",
        "b.png",
        "c.png",
    ]
    reasons = [skipped.reason for skipped in pictures.skipped]
    assert "none of these" in reasons[1]
    assert "No such file" in reasons[2]
    assert "at most" in reasons[3]


def test_nothing_read_is_nothing() -> None:
    pictures = reader().all_read()
    assert (len(pictures), pictures.labelled, pictures.pixels.shape) == (0, 0, (0, 0, 0, 0))


def test_dark_ink_is_turned_around_for_a_network_that_reads_light_ink() -> None:
    one = reader(light_on_dark=True, channels=1)
    light, dark = one.read(file("a.png", png(250))), one.read(file("b.png", png(5)))
    assert light is not None
    assert dark is not None
    assert (light.max(), dark.max()) == (5, 5)
    assert one.all_read().exchanged == 1


def test_what_was_changed_in_pictures_is_counted() -> None:
    one = reader()
    deep = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 16).save(deep, "PNG")
    for name in ("a.png", "b.png"):
        one.read(file(name, deep.getvalue()))
    one.read(file("c.png", png(5)))
    ((note, count),) = one.all_read().changed
    assert "rescaled" in note
    assert count == 2


def test_uploaded_files_keep_their_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [("pets\\dog\\2.png", png(2)), ("./pets/dog/1.png", png(1)), ("pets/a.txt", b"x")]
    found = uploaded_files(files, "the folder")
    assert [one.name for one in found.files] == ["pets/dog/1.png", "pets/dog/2.png"]
    assert [one.read() for one in found.files] == [png(1), png(2)]
    monkeypatch.setattr(uploads, "MOST_BYTES", 20)
    with pytest.raises(UserError, match="the folder"):
        uploaded_files(files, "the folder")


def test_a_folder_is_read_at_any_depth_and_links_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "open"
    for name in ("pets/dog/1.png", "pets/2.png", "pets/.hidden/3.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(1))
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(9))
    (root / "pets" / "link.png").symlink_to(secret)
    (root / "pets" / "way-out").symlink_to(tmp_path)
    found = files_in_folder("pets", root)
    assert [one.name for one in found.files] == ["2.png", "dog/1.png"]
    assert found.files[0].read() == png(1)
    assert files_in_folder(str(root / "pets"), root).files[0].name == "2.png"


@pytest.mark.parametrize("asked", ["..", "../secret", "/", "missing", "file.png", "out", "a\0b"])
def test_what_is_not_below_the_open_folder_is_refused(asked: str, tmp_path: Path) -> None:
    root = tmp_path / "open"
    root.mkdir()
    (root / "file.png").write_bytes(png(1))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "1.png").write_bytes(png(1))
    (root / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="check the path"):
        files_in_folder(asked, root)


def test_a_folder_with_too_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(png(1))
    monkeypatch.setattr(uploads, "MOST_FILES", 3)
    with pytest.raises(UserError, match="at most 3 files"):
        files_in_folder(".", tmp_path)


def test_names_are_fit_to_be_shown() -> None:
    assert shown("a\nb\x1b[31m.png") == "a�b�[31m.png"
    assert shown("x" * 500 + ".png").endswith("xxx.png")
    assert len(shown("x" * 500)) == 120
    assert plain_path("C:\\a\\\\b/./c.png") == "C:/a/b/c.png"


def test_a_collection_without_pictures_is_a_sentence() -> None:
    with pytest.raises(UserError, match="there are none"):
        collected([file("a.txt", b"x")], "it")

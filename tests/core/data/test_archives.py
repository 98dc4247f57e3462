"""Zip archives from strangers."""

import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import archives, uploads
from core.data.archives import files_in_zip
from core.data.images import MAX_BYTES
from core.foundation.errors import UserError
from tests.core.data.pictures import packed, png

CATS = {"pets/cat/1.png": png(10), "pets/cat/2.PNG": png(20), "pets/dog/1.jpeg": png(30)}


def names(content: bytes) -> list[str]:
    return [file.name for file in files_in_zip(content, "pets.zip").files]


def test_the_pictures_are_found_and_read() -> None:
    found = files_in_zip(packed(CATS), "pets.zip")
    assert [file.name for file in found.files] == sorted(CATS)
    assert [file.read() for file in found.files] == [CATS[name] for name in sorted(CATS)]
    assert found.skipped == ()


def test_other_files_are_skipped_with_a_reason_and_hidden_ones_without() -> None:
    content = packed(
        {
            **CATS,
            "pets/notes.txt": b"x",
            "pets/more.zip": packed(CATS),
            "__MACOSX/pets/cat/._1.png": b"x",
            "pets/.DS_Store": b"x",
            "pets/Thumbs.db": b"x",
            "pets/empty/": b"",
        }
    )
    found = files_in_zip(content, "pets.zip")
    assert [file.name for file in found.files] == sorted(CATS)
    assert [one.name for one in found.skipped] == ["pets/more.zip", "pets/notes.txt"]
    assert {one.reason for one in found.skipped} == {"not a picture, by its content"}


def test_names_that_lead_elsewhere_lead_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    strange = {"../../evil.png": png(1), "/etc/evil.png": png(2), "C:\\dogs\\1.png": png(3)}
    found = files_in_zip(packed(strange), "pets.zip")
    assert len({file.read() for file in found.files}) == 3
    assert list(tmp_path.rglob("*")) == []
    assert "C:/dogs/1.png" in [file.name for file in found.files]


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\3\4 and nothing more", png(1), b"x" * 5000])
def test_what_is_no_zip_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match=r"expected 'pets.zip' to be a zip archive"):
        files_in_zip(content, "pets.zip")


@pytest.mark.parametrize("files", [{}, {"folder/": b""}])
def test_an_empty_one_is_a_sentence(files: dict[str, bytes]) -> None:
    with pytest.raises(UserError, match="it is empty"):
        files_in_zip(packed(files), "pets.zip")


def test_one_without_pictures_says_what_is_expected() -> None:
    with pytest.raises(UserError, match=r"PNG, JPEG.* but 2 other files"):
        files_in_zip(packed({"a.txt": b"x", "b.pdf": b"x"}), "pets.zip")


def test_an_encrypted_one_is_refused() -> None:
    content = bytearray(packed(CATS))
    entry = content.index(b"PK\1\2")  # the flags of the first file in the directory
    content[entry + 8] |= 1
    with pytest.raises(UserError, match="without a password"):
        files_in_zip(bytes(content), "pets.zip")


def test_more_pictures_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_PICTURES", 2)
    with pytest.raises(UserError, match="at most 2 pictures"):
        files_in_zip(packed(CATS), "pets.zip")


def test_more_files_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    with pytest.raises(UserError, match="at most"):
        files_in_zip(packed(CATS), "pets.zip")


def test_a_list_of_files_that_fills_the_memory_is_not_even_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archives._Bounded, "most", 1000)
    many = packed({f"{number:060}.png": b"" for number in range(20)})
    monkeypatch.setattr(zipfile, "ZipInfo", None)
    with pytest.raises(UserError, match="at most"):
        files_in_zip(many, "pets.zip")


def test_too_many_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="choose fewer pictures"):
        files_in_zip(packed(CATS), "pets.zip")


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = packed({f"{number}.bmp": bytes(64 * 2**20) for number in range(9)})
    assert len(bomb) < 2**20
    with pytest.raises(UserError, match="to unpack to at most 512 MB, but it lists 576 MB"):
        files_in_zip(bomb, "bomb.zip")


def test_of_one_large_file_no_more_is_unpacked_than_shows_that_it_is() -> None:
    (file,) = files_in_zip(packed({"a.bmp": bytes(MAX_BYTES + 10**6)}), "pets.zip").files
    assert len(file.read()) == MAX_BYTES + 1


def test_a_file_that_says_less_than_it_holds_gives_no_more_than_it_says() -> None:
    content = bytearray(packed({"a.bmp": bytes(100_000)}))
    for mark, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = content.index(mark) + offset
        content[at : at + 4] = (10).to_bytes(4, "little")
    (file,) = files_in_zip(bytes(content), "pets.zip").files
    with pytest.raises(UserError, match="damaged in the archive"):
        file.read()


def test_a_damaged_file_is_told_when_it_is_read() -> None:
    content = bytearray(packed({"a.png": png(1), "b.png": png(2)}, zipfile.ZIP_STORED))
    content[content.index(b"IDAT") + 6] ^= 255
    first, second = files_in_zip(bytes(content), "pets.zip").files
    with pytest.raises(UserError, match="damaged in the archive"):
        first.read()
    assert second.read() == png(2)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_take_memory_without_measure_are_not_used(method: int) -> None:
    (file,) = files_in_zip(packed({"a.png": png(1)}, method), "pets.zip").files
    with pytest.raises(UserError, match="pack it again as an ordinary"):
        file.read()


@given(st.data())
def test_whatever_is_changed_in_it_a_sentence_is_the_worst(data: st.DataObject) -> None:
    content = bytearray(packed(CATS))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 30))
    with suppress(UserError):
        for file in files_in_zip(bytes(content[: len(content) - cut]), "pets.zip").files:
            with suppress(UserError):
                assert isinstance(file.read(), bytes)

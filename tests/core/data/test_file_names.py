"""Names of files, as people and their systems write them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.file_names import (
    composed,
    decoded,
    distinct,
    is_litter,
    natural_order,
    sorted_as_text,
)


@pytest.mark.parametrize(
    "path",
    [
        *("__MACOSX/cat/._1.png", "cat/@eaDir/1.jpg/SYNO.jpg", ".DS_Store", "dog/._0.jpg"),
        *("cat/Thumbs.db", "desktop.ini", "$RECYCLE.BIN/1.png", "@eaDir"),
    ],
)
def test_what_a_system_left_is_litter(path: str) -> None:
    assert is_litter(path)


@pytest.mark.parametrize("path", ["cat/1.png", "thumbs.db/1.png", "my.cats/1.png", "a/icon.png"])
def test_what_people_left_is_none(path: str) -> None:
    assert not is_litter(path)


def test_names_of_one_kind_are_told_apart() -> None:
    assert distinct(["a.png", "b/a.png", "a.png", "a.png", "a (2).png", "x", "x"]) == [
        *("a.png", "b/a.png", "a (3).png", "a (4).png", "a (2).png", "x", "x (2)"),
    ]


@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "b/a", "a.png", ".a", "b/.a"])))
def test_told_apart_they_differ_and_the_first_of_each_keeps_its_name(names: list[str]) -> None:
    result = distinct(names)
    assert len(set(result)) == len(names)
    assert all(result[names.index(name)] == name for name in names)


def test_accents_are_in_their_letters() -> None:
    assert composed(unicodedata.normalize("NFD", "café")) == "café"


def test_people_count_otherwise_than_text_is_sorted() -> None:
    names = [str(number) for number in range(1, 13)]
    assert natural_order(sorted(names)) == names
    assert natural_order(["b", "a10", "a9", "1a"]) == ["1a", "a9", "a10", "b"]
    assert "1, 10, 11, 12, …; not 1, 2, 3, 4" in sorted_as_text(sorted(names))
    assert sorted_as_text([f"{number:02}" for number in range(12)]) == ""


@pytest.mark.parametrize(
    ("name", "code_page"),
    [
        *(("Grüße/Äpfel.png", page) for page in ("utf-8", "cp437", "cp1252")),
        *(("кошка и собака.png", page) for page in ("utf-8", "cp866", "cp1251")),
        *(("ねこの写真.png", page) for page in ("utf-8", "shift_jis")),
        *(("猫和狗的照片.png", page) for page in ("utf-8", "gbk")),
        *(("고양이.png", page) for page in ("utf-8", "cp949")),
        *(("cat.png", page) for page in ("ascii",)),
    ],
)
def test_names_of_older_archives_are_readable(name: str, code_page: str) -> None:
    assert decoded([b"plain.png", name.encode(code_page)]) == ["plain.png", name]


def test_bytes_in_no_language_stay_apart() -> None:
    names = [b"\xff\xfe\x01.png", b"\xff\xfe\x02.png"]
    assert len(set(decoded(names))) == 2

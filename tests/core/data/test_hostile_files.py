"""1,500 damaged and hostile files: each is opened or refused, in bounded time and memory."""

from collections.abc import Iterator

import pytest

from tests import hostile_files


def test_every_file_is_opened_or_refused_in_bounded_time_and_memory() -> None:
    assert hostile_files.corpus(seed=0, count=hostile_files.COUNT) == []


def test_the_same_seed_gives_the_same_files() -> None:
    number = len(hostile_files.BOMBS) + 7
    assert hostile_files.picture(3, number) == hostile_files.picture(3, number)
    assert hostile_files.picture(3, number) != hostile_files.picture(4, number)
    assert hostile_files.archive(3, 7) == hostile_files.archive(3, 7)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("crash", "ended the process with -"),
        ("hang", "ended the process with -"),
        ("memory", "MB"),
        ("raise", "raised ZeroDivisionError"),
    ],
)
def test_a_child_that_breaks_is_noticed_and_the_next_goes_on(way: str, says: str) -> None:
    def files() -> Iterator[tuple[str, bytes]]:
        yield "fine", b"x"
        yield "bad", way.encode()
        yield "fine", b"x"

    (wrong,) = hostile_files.run("break", files())
    assert wrong.startswith("break 1, bad: ")
    assert says in wrong

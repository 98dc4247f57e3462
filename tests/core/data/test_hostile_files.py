"""1,500 damaged and hostile files: each is opened or refused, in bounded time and memory."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import hostile_files
from tests.running_app import ROOT


def told(*arguments: str) -> str:
    """Return what the module prints, in a process of its own."""
    command = [sys.executable, "-m", "tests.hostile_files", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stdout}{done.stderr[-2000:]}"
    return done.stdout


def test_every_file_is_opened_or_refused_in_bounded_time_and_memory() -> None:
    assert told() == f"{hostile_files.COUNT:,} files, 0 went wrong\n"


def test_the_same_seed_gives_the_same_files() -> None:
    number = str(len(hostile_files.BOMBS) + 7)
    first, again, other = (told("--digest", number, "--seed", seed) for seed in "334")
    assert first == again
    assert not set(first.split()) & set(other.split())


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

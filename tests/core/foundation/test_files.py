"""A folder is replaced as a whole, whoever looks at it meanwhile."""

import csv
import ctypes
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.foundation.files import atomic_folder, csv_text

NAMES = ("card", "weights")


def write(folder: Path, content: str) -> None:
    with atomic_folder(folder) as partial:
        for name in NAMES:
            (partial / name).write_text(content)


@contextmanager
def watched(folder: Path) -> Iterator[tuple[list[str], list[tuple[str, ...]]]]:
    """Look at a folder over and over; yield what was missing, and what was seen together."""
    missing: list[str] = []
    together: list[tuple[str, ...]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            try:
                held = os.open(folder, os.O_RDONLY)
            except FileNotFoundError:
                missing.append("folder")
                continue
            try:
                files = [os.open(name, os.O_RDONLY, dir_fd=held) for name in NAMES]
            except FileNotFoundError:  # what was held has been removed since
                pass
            else:
                together.append(tuple(os.read(file, 99).decode() for file in files))
                for file in files:
                    os.close(file)
            finally:
                os.close(held)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield missing, together
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("in_one_step", [True, False])
def test_an_observer_sees_the_old_folder_or_the_new_one_and_no_mixture(
    in_one_step: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_one_step:
        monkeypatch.setattr(ctypes, "pythonapi", None)
    elif not hasattr(ctypes.pythonapi, "renameat2"):
        pytest.skip("this system cannot exchange folders in one step")
    folder = tmp_path / "model"
    write(folder, "0")
    with watched(folder) as (missing, together):
        for number in range(1, 300):
            write(folder, str(number))
    assert len(together) > 10
    assert all(card == weights for card, weights in together)
    assert not (in_one_step and missing)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (folder / "card").read_text() == "299"


def write_and_fail(folder: Path) -> None:
    with atomic_folder(folder) as partial:
        (partial / "card").write_text("new")
        (partial / "weights").write_text(str(1 / 0))


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write(folder, "old")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(folder)
    assert [(folder / name).read_text() for name in NAMES] == ["old", "old"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1"])
def test_text_is_no_formula_in_a_spreadsheet(text: str) -> None:
    lines = list(csv.reader(io.StringIO(csv_text(["name"], [[text]]), newline="")))
    assert lines == [["name"], [f"'{text}"]]


@pytest.mark.parametrize("value", ["-0.5", -0.5, "a=b", "", 3])
def test_numbers_and_other_text_stay_as_they_are(value: object) -> None:
    assert csv_text(["x"], [[value]]).splitlines() == ["x", str(value) or '""']

"""Atomic writes: a file or folder is either complete or absent."""

import csv
import ctypes
import errno
import fcntl
import glob
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.foundation.errors import UserError

MAX_JSON = 16 * 2**20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors of a full disk."""


class UnwritableError(UserError):
    """The system refuses to write a file or folder."""

    def __init__(self, target: Path, error: OSError) -> None:
        """Say what was to be written, and what the system said."""
        self.error = error
        if error.errno in FULL:
            sentence = (
                f"expected room for {target}, but the disk is full: free some, or choose another "
                "folder. What was written before is still there."
            )
        else:
            sentence = (
                f"expected to write {target}, but got: {error.strerror or error}: mend the "
                "permissions, or choose another folder."
            )
        super().__init__(sentence)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; move it into place only when the block succeeds.

    A crash, a full disk or an interrupt leaves the old file (or none), never half a new one. What a
    killed process left there for the same target is removed.

    Raises `UnwritableError` naming the target where the system refuses to write.
    """
    with _told_of(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        before, after = f".{target.stem}-", f".partial{target.suffix}"
        _clear(target.parent, before, after)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=before, suffix=after)
        partial = Path(name)
        try:
            _hold(handle)
            yield partial
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            partial.chmod(0o644)
            partial.replace(target)
        finally:
            os.close(handle)
            partial.unlink(missing_ok=True)


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """Yield a hidden, empty folder beside ``target`` that is removed at the end.

    What a killed process left there for the same target is removed, too.

    Raises `UnwritableError` naming the target where the system refuses to write.
    """
    with _told_of(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        before, after = f".{target.name}-", ".partial"
        _clear(target.parent, before, after)
        with tempfile.TemporaryDirectory(
            dir=target.parent, prefix=before, suffix=after, ignore_cleanup_errors=True
        ) as name:
            handle = os.open(name, os.O_RDONLY)
            try:
                _hold(handle)
                yield Path(name)
            finally:
                os.close(handle)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target``, replacing it, only when the block succeeds.

    Until then it lies in a `workspace`. On Linux an earlier folder is exchanged in one step, so
    there is a whole one under ``target`` at any time. Elsewhere there is none for a moment, but
    never a mixture of both.
    """
    with workspace(target) as temporary:
        partial = temporary / "new"
        partial.mkdir()
        yield partial
        if target.exists():
            _exchange(partial, target)
        else:
            partial.rename(target)


def check_writable(target: Path, *, folder: bool = False) -> None:
    """Raise `UserError` unless ``target`` can be written; leaves nothing there.

    Args:
        target: need not exist, nor its parents.
        folder: whether it is to be a folder.
    """
    with _told_of(target):
        if target.exists() and target.is_dir() != folder:
            kinds = ("a folder", "a file") if folder else ("a file", "a folder")
            raise UserError(
                f"expected {target} to be {kinds[0]}, but it is {kinds[1]}: choose another name."
            )
        place = target if folder else target.parent
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass


@contextmanager
def _told_of(target: Path) -> Iterator[None]:
    try:
        yield
    except UnwritableError as error:  # of a file in a folder that is written as a whole
        raise UnwritableError(target, error.error) from None
    except OSError as error:
        raise UnwritableError(target, error) from None


def _hold(handle: int) -> None:
    """Lock what is being written, where the file system knows locks, so that nobody clears it."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX)


def _clear(folder: Path, before: str, after: str) -> None:
    """Remove what killed processes left; a living one holds a lock on its own."""
    for path in folder.glob(f"{glob.escape(before)}*{glob.escape(after)}"):
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:  # it has gone meanwhile, or is somebody else's
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)


def _exchange(one: Path, other: Path) -> None:
    """Let two folders change places: in one step where the system can, else in three."""
    rename = getattr(ctypes.pythonapi, "renameat2", None)
    here = -100  # AT_FDCWD: paths count from the working directory
    exchange = 2  # RENAME_EXCHANGE
    if rename and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return
    spare = one.with_name(f"{one.name}-spare")
    other.rename(spare)
    one.rename(other)
    spare.rename(one)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of at most `MAX_JSON` bytes.

    Raises `UserError` naming the file when it is missing, damaged, too large or nested too deep,
    or has a number that is none (NaN, Infinity), which JSON does not know.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            content = stream.read(MAX_JSON + 1)
        if len(content) > MAX_JSON:
            raise ValueError(f"it has more than {MAX_JSON / 2**20:.0f} MB")
        return json.loads(content, parse_constant=_no_number)
    except FileNotFoundError:
        raise UserError(f"expected a JSON file at {path}, but there is none.") from None
    except RecursionError:
        raise UserError(
            f"expected JSON in {path}, but it is nested deeper than can be read."
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"expected JSON in {path}, but it cannot be read: {error}.") from None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def csv_text(header: Sequence[str], columns: Iterable[Iterable[object]]) -> str:
    """Return columns of equal length as CSV, with a line of their names first.

    Text that a spreadsheet would run as a formula is kept from it, see `no_formula`.
    """
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(header)
    for row in zip(*columns, strict=True):
        writer.writerow([no_formula(cell) if isinstance(cell, str) else cell for cell in row])
    return content.getvalue()


def no_formula(text: str) -> str:
    """Return text that spreadsheets show in one cell and do not run.

    What could be a formula comes after an apostrophe, unless it is a number.
    """
    text = text.replace("\r", " ")
    if not text.lstrip().startswith(("=", "+", "-", "@")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text

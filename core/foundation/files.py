"""Atomic writes: a file or folder is either complete or absent."""

import csv
import ctypes
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.foundation.errors import UserError

MAX_JSON = 16 * 2**20


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; move it into place only when the block succeeds.

    A crash, a full disk or an interrupt leaves the old file (or none), never half a new one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}-", suffix=f".partial{target.suffix}"
    )
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.chmod(0o644)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target``, replacing it, only when the block succeeds.

    Until then it lies in a hidden folder beside the target, which is always removed. On Linux an
    earlier folder is exchanged in one step, so there is a whole one under ``target`` at any time.
    Elsewhere there is none for a moment, but never a mixture of both.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}-", suffix=".partial"
    ) as temporary:
        partial = Path(temporary, "new")
        partial.mkdir()
        yield partial
        if target.exists():
            _exchange(partial, target)
        else:
            partial.rename(target)


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

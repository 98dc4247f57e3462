"""Accuracy–cost fronts on disk: a ``.npz`` per model with the front of every criterion.

A search takes seconds and has the same result for everybody, so it is made once, with the table.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.exits.table import ExitTable
from core.foundation.files import atomic_path
from core.tuning.front import Front, front

_KINDS = {"thresholds": "f", "enabled": "b", "accuracy": "f", "relative_cost": "f"}


def save_fronts(path: Path, table: ExitTable, criteria: Iterable[str]) -> None:
    """Search the front of each criterion on a table and write them into one file, atomically.

    Args:
        path: of the file.
        table: of the calibration split, as it is stored.
        criteria: names in `core.exits.criteria.CRITERIA`.

    Raises:
        UserError: as `core.tuning.front.front`.
    """
    arrays: dict[str, NDArray[Any]] = {"table": _digest(table)}
    for criterion in criteria:
        found = front(table, criterion)
        arrays |= {f"{criterion}/{field}": getattr(found, field) for field in _KINDS}
    with atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def stored_or_searched(path: Path, table: ExitTable, criterion: str) -> Front:
    """Return a criterion's front on a table: the stored one, if there is one for this very table.

    A file that is missing, damaged or of another table only costs the time of a search.

    Args:
        path: of a file that `save_fronts` wrote.
        table: of the calibration split.
        criterion: a name in `core.exits.criteria.CRITERIA`.

    Raises:
        UserError: as `core.tuning.front.front`.
    """
    return _stored(path, table, criterion) or front(table, criterion)


def _stored(path: Path, table: ExitTable, criterion: str) -> Front | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not np.array_equal(archive["table"], _digest(table)):
                return None
            fields = {name: archive[f"{criterion}/{name}"] for name in _KINDS}
    except Exception:  # numpy, zip and zlib raise many types for a damaged archive
        return None
    count, early = len(fields["accuracy"]), table.num_exits - 1
    shapes = {"thresholds": (count, early), "enabled": (count, early)}
    sound = all(
        fields[name].dtype.kind == kind and fields[name].shape == shapes.get(name, (count,))
        for name, kind in _KINDS.items()
    )
    return Front(criterion, **fields) if sound and count else None


def _digest(table: ExitTable) -> NDArray[np.uint8]:
    """Return a checksum of what a search reads."""
    content = hashlib.sha256()
    arrays = (
        table.probabilities,
        table.confidence,
        table.entropy,
        table.top_classes,
        table.labels,
        table.costs.stages,
        table.costs.heads,
    )
    for array in arrays:
        if array is not None:
            content.update(np.ascontiguousarray(array).data)
    return np.frombuffer(content.digest(), np.uint8)

"""Tables of corrupted test images: made by running the network, and shipped with some models.

A shipped file holds the tables of some of the test images, in 16 bits and with all classes, so that
every policy can be applied to them. It is made by ``python -m benchmarks.drift``.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.analysis.corruptions import CORRUPTIONS, corrupt
from core.analysis.drift import Drifted
from core.exits.table import ExitTable, IntArray
from core.exits.table_file import as_stored, quantised, quantised_probabilities, restored
from core.foundation.errors import UserError
from core.foundation.files import atomic_path
from core.foundation.jobs import OnProgress
from core.hub.card import Card
from core.hub.registry import DRIFT, plain_table
from core.tuning.promise import reference_right

if TYPE_CHECKING:
    from core.hub.model import Model

SEVERITIES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""Severities to choose from; 0 is the clean image."""
BATCH = 128


def corrupted_tables(
    model: "Model",
    plain: "Model | None",
    images: NDArray[np.uint8],
    clean: ExitTable,
    corruption: str,
    severity: float,
    on_progress: OnProgress = lambda fraction, message: None,
    *,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Drifted:
    """Corrupt images, and run every exit of a network and its plain counterpart on each.

    Args:
        model: with early exits.
        plain: the plain network for the same images, or None.
        images: (N, H, W, C) uint8, as the network reads them.
        clean: the model's table of these images; gives labels and ids.
        corruption: a name in `core.analysis.corruptions.CORRUPTIONS`.
        severity: in [0, 1].
        on_progress: called for each batch; an exception from it ends the work.
        turn: entered for every batch, so that other jobs can run in between.

    Raises:
        UserError: no such corruption, or a severity out of range.
    """
    title, count = CORRUPTIONS[corruption].title, len(images)
    tables, plain_right = [], []
    for first in range(0, count, BATCH):
        on_progress(first / count, f"{title} {severity:.0%}: {first:,} of {count:,} images")
        rows = slice(first, first + BATCH)
        with turn():
            batch = np.stack([corrupt(image, corruption, severity) for image in images[rows]])
            labels = clean.labels[rows]
            tables.append(model.table(batch, labels))
            if plain is not None:
                plain_right.append(plain.table(batch, labels).right[:, -1])
    on_progress(1.0, f"{title} {severity:.0%}: {count:,} of {count:,} images")
    confidences = [table.confidence for table in tables if table.confidence is not None]
    table = replace(
        tables[0],
        probabilities=np.concatenate([table.probabilities for table in tables]),
        confidence=np.concatenate(confidences) if confidences else None,
        labels=clean.labels,
        ids=clean.ids,
    )
    return Drifted(as_stored(table), np.concatenate(plain_right) if plain_right else None)


def undrifted(card: Card, table: ExitTable) -> Drifted:
    """Return clean test images, with the plain network's stored answers where there are any."""
    plain = plain_table(card, "test", table)
    return Drifted(table, None if plain is None else reference_right(table, plain))


def save_drift(
    folder: Path, card: Card, rows: IntArray, tables: Mapping[tuple[str, float], Drifted]
) -> None:
    """Write tables of corrupted test images into a model's folder, atomically.

    Args:
        folder: of the model.
        card: of the model.
        rows: ``(N,)`` positions of the images in its table of the test split.
        tables: by corruption and severity; all with the plain network's answers, of no more
            classes than a table keeps in full.
    """
    arrays: dict[str, NDArray[Any]] = {"weights": np.array(card.sha256), "rows": rows}
    for (corruption, severity), drifted in tables.items():
        key, table = f"{corruption}/{severity:g}", drifted.table
        assert drifted.plain_right is not None
        arrays[f"{key}/plain_right"] = np.packbits(drifted.plain_right)
        arrays[f"{key}/probabilities"] = quantised_probabilities(table)
        if table.confidence is not None:
            arrays[f"{key}/confidence"] = quantised(table.confidence)
    with atomic_path(folder / DRIFT) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def load_drift(folder: Path, card: Card, test: ExitTable) -> dict[str, dict[float, Drifted]]:
    """Return the tables that ship with a model, by corruption and severity; 0 is the clean images.

    Args:
        folder: of the model.
        card: of the model.
        test: its table of the test split.

    Returns:
        Nothing where no tables ship, or where they are of other weights.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / DRIFT
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            if str(archive["weights"]) != card.sha256:
                return {}
            clean = test.select(archive["rows"])
            found: dict[str, dict[float, Drifted]] = {}
            for key in archive.files:
                corruption, _, rest = key.partition("/")
                severity, _, field = rest.partition("/")
                if field == "probabilities":
                    tables = found.setdefault(corruption, {0.0: undrifted(card, clean)})
                    tables[float(severity)] = _read(archive, key.removesuffix(field), clean)
    except Exception as error:  # numpy, zip and zlib raise many types for a damaged archive
        raise UserError(
            f"expected tables of corrupted images in {path}, but they are damaged ({error}); "
            "restore the file, or remove it."
        ) from None
    return found


def _read(archive: Any, key: str, clean: ExitTable) -> Drifted:
    confidence = f"{key}confidence"
    table = replace(
        clean,
        probabilities=restored(archive[f"{key}probabilities"]),
        confidence=restored(archive[confidence]) if confidence in archive.files else None,
        entropy=None,
        log_probabilities=None,
        rounded=True,
    )
    right = np.unpackbits(archive[f"{key}plain_right"], count=len(clean)).astype(np.bool_)
    return Drifted(table, right)

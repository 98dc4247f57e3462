"""Outputs of every exit for a collection of the user's pictures."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np

from core.data.polarity import light_on_dark
from core.data.uploads import Collection, OwnPictures, OwnReader
from core.exits.table import ExitTable, joined
from core.foundation.errors import UserError
from core.foundation.jobs import OnProgress
from core.hub.model import Model

BATCH = 32


@dataclass(frozen=True, eq=False)
class Scored:
    """Pictures and the outputs of every exit for them, in the same order."""

    pictures: OwnPictures
    table: ExitTable


def score(
    model: Model,
    collection: Collection,
    on_progress: OnProgress,
    *,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Scored:
    """Read pictures and run every exit on each.

    A network of light on dark reads dark ink on light paper as its negative.

    Args:
        model: whose exits are run.
        collection: files; unreadable ones are skipped, with the reason.
        on_progress: called for each picture; an exception from it ends the work.
        turn: entered for every picture that is read and every batch that is scored, so that
            other jobs can run in between.

    Raises:
        UserError: none of the pictures can be read.
    """
    card = model.card
    reader = OwnReader(card.classes, card.evaluation_transform, light_on_dark(card.dataset))
    tables = []
    for first in range(0, len(collection), BATCH):
        batch = []
        for number, file in enumerate(collection.files[first : first + BATCH], first):
            on_progress(number / len(collection), f"{number:,} of {len(collection):,} pictures")
            with turn():
                pixels = reader.read(file)
            if pixels is not None:
                batch.append(pixels)
        if batch:
            with turn():
                tables.append(model.table(np.stack(batch)))
    on_progress(1.0, f"{len(collection):,} of {len(collection):,} pictures")
    pictures = reader.all_read(collection.skipped)
    if not tables:
        raise UserError(
            f"expected pictures in {collection.called} that can be read, but none of "
            f"{len(collection):,} can; the first, {collection.files[0].name!r}: "
            f"{pictures.skipped[len(collection.skipped)].reason}"
        )
    table = joined(tables)
    return Scored(pictures, replace(table, labels=pictures.labels, ids=np.arange(len(pictures))))

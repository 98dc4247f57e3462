"""A model on the user's own labelled pictures: some choose its thresholds, the others test them."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.data.hold_out import by_class
from core.data.prepared import ImageSet
from core.exits.table import ExitTable, joined
from core.exits.table_file import as_stored
from core.foundation.errors import UserError
from core.foundation.jobs import OnProgress
from core.hub.card import Card, Plain
from core.hub.model import Model
from core.hub.operating_points import with_figures
from core.hub.premise import notes
from core.hub.scoring import BATCH, Scored
from core.hub.storage import write_other_tables

LEAST = 10
"""Pictures of each split; fewer tell nothing."""
PLAIN = "-plain"
"""Ends the name of the plain network on the same pictures."""


@dataclass(frozen=True, eq=False)
class OwnSplits:
    """What comes of it.

    Attributes:
        pictures: the test pictures as the network reads them, in the order of its table.
        notes: what the calibration pictures cannot carry, in sentences.
    """

    pictures: ImageSet
    notes: tuple[str, ...]


def split_own(
    model: Model,
    plain: Model | None,
    scored: Scored,
    folder: Path,
    on_progress: OnProgress,
    *,
    share: float = 0.5,
    seed: int = 0,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> OwnSplits:
    """Save a model with tables of own pictures for calibration and test, and its plain network.

    The weights stay the same file, so that thresholds found here are good for the model itself.

    Args:
        model: that has scored the pictures.
        plain: its plain network, from which losses count where it reads pictures the same way.
        scored: pictures; those without a label are left out.
        folder: for the model; that of the plain network has `PLAIN` behind its name.
        on_progress: called for each batch; an exception from it ends the work.
        share: of the labelled pictures that become calibration, between 0 and 1.
        seed: of the draw, of every class in the same proportion.
        turn: entered for every batch, so that other jobs can run in between.

    Raises:
        UserError: fewer than `LEAST` labelled pictures for calibration or for test.
    """
    assert model.folder is not None
    pictures, card = scored.pictures, model.card
    rows = dict(zip(("calibration", "test"), by_class(pictures.labels, share, seed), strict=True))
    for split, chosen in rows.items():
        if len(chosen) < LEAST:
            raise UserError(
                f"expected at least {LEAST} labelled pictures for {split}, but there are "
                f"{len(chosen)}: bring more, in folders that are called like classes of the "
                "network, or divide them otherwise."
            )
    counts = " and ".join(f"{len(chosen):,} for {split}" for split, chosen in rows.items())
    plain_card, plain_tables = None, dict[str, ExitTable]()
    if plain is not None and plain.folder is not None and _read_alike(plain.card, card):
        parts = []
        for first in range(0, len(pictures), BATCH):
            on_progress(first / len(pictures), "Running the plain network …")
            with turn():
                parts.append(plain.table(pictures.pixels[first : first + BATCH]))
        whole = replace(joined(parts), labels=pictures.labels)
        plain_tables = _tables(whole, rows)
        name = folder.name + PLAIN
        own = _own_card(plain.card, name, counts)
        plain_card = with_figures(own, plain_tables)
        place = folder.with_name(name)
        with turn():
            write_other_tables(place, plain.folder, plain_card, plain_tables)
    on_progress(1.0, "Searching the best thresholds …")
    tables = _tables(scored.table, rows)
    own = _own_card(card, folder.name, counts).model_copy(update={"plain": _plain(plain_card)})
    with turn():
        own = with_figures(own, tables, plains=plain_tables)
        write_other_tables(folder, model.folder, own, tables)
    test = rows["test"]
    images, labels = pictures.pixels[test], pictures.labels[test]
    shown = ImageSet.counted(card.dataset, "test", images, labels, card.classes)
    return OwnSplits(shown, notes(tables["calibration"], tables["test"]))


def _read_alike(one: Card, other: Card) -> bool:
    unnormalised = {"mean": (), "std": (), "reciprocal": False}
    first, second = (
        card.evaluation_transform.model_copy(update=unnormalised) for card in (one, other)
    )
    return first == second and one.classes == other.classes


def _tables(whole: ExitTable, rows: Mapping[str, np.ndarray]) -> dict[str, ExitTable]:
    return {
        split: as_stored(replace(whole.select(chosen), ids=np.arange(len(chosen))))
        for split, chosen in rows.items()
    }


def _own_card(card: Card, name: str, counts: str) -> Card:
    facts = {
        "name": name,
        "title": f"{card.title}, your images ({counts})",
        "weights_of": card.weights_of or card.name,
        "plain": None,
    }
    return card.model_copy(update=facts)


def _plain(card: Card | None) -> Plain | None:
    if card is None:
        return None
    return Plain(
        name=card.name,
        calibration_accuracy=card.exit_accuracy("calibration")[-1],
        test_accuracy=card.exit_accuracy("test")[-1],
    )

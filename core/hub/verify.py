"""What is wrong with a model: its card, weights and tables, and what they say of each other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.exits.policy import Policy
from core.exits.table import ExitTable
from core.exits.table_file import load_tables
from core.foundation.errors import UserError
from core.hub.card import Card, SplitFigures, read_card
from core.hub.drift import load_drift
from core.hub.figures import split_figures
from core.hub.likeness import load_likeness
from core.hub.registry import CARD, DRIFT, TABLE, WEIGHTS, card_of, plain_table
from core.hub.storage import read_weights
from core.networks.build import build
from core.networks.constructors import FACTORY
from core.networks.cost import count

_ROUNDING = 1e-6


def faults(folder: Path) -> list[str]:
    """Return all that is wrong with the model in a folder, in sentences; nothing is changed.

    A network of one's own is built only where `$EENET_FACTORY` names what makes it.
    """
    try:
        card, found = read_card(folder / CARD)
    except UserError as error:
        return [str(error)]
    if card is None:
        return [f"{folder / CARD}: {fault}." for fault in found]
    found = [*_of_network(folder, card), *_of_tables(folder, card), *_of_plain(card)]
    try:
        load_likeness(folder, card)
    except UserError as error:
        found.append(str(error))
    return found


def _of_network(folder: Path, card: Card) -> Iterator[str]:
    try:
        network = build(card.spec)
    except UserError as error:
        if card.spec.backbone != FACTORY:
            yield f"the network of the card cannot be built: {error}"
        return
    names = tuple(network.heads)
    if names != card.exit_names:
        yield f"the card names the exits {card.exit_names}, but the network has {names}."
        return
    counted = count(network, card.spec.in_channels, card.spec.image_size)
    for name in ("stage_macs", "head_macs", "stage_parameters", "head_parameters"):
        told, real = getattr(card, name), getattr(counted, name)
        if told != real:
            yield f"the card has `{name}` {told}, but the network {real}."
    try:
        read_weights(folder / WEIGHTS, card, network)
    except UserError as error:
        yield str(error)


def _of_tables(folder: Path, card: Card) -> Iterator[str]:
    if not (folder / TABLE).is_file():
        if card.per_exit_accuracy or any(p.calibration or p.test for p in card.operating_points):
            yield f"the card has figures, but there is no {folder / TABLE} that they come from."
        return
    try:
        tables = load_tables(folder / TABLE)
    except UserError as error:
        yield str(error)
        return
    for split, table in tables.items():
        misfits = list(_misfits(card, split, table))
        yield from (f"{folder / TABLE}, split {split!r}: {misfit}." for misfit in misfits)
        if not misfits and table.labelled.any():
            yield from _of_figures(card, split, table)
    if (folder / DRIFT).is_file() and "test" in tables:
        try:
            load_drift(folder, card, tables["test"])
        except UserError as error:
            yield str(error)


def _misfits(card: Card, split: str, table: ExitTable) -> Iterator[str]:
    if split not in ("calibration", "test"):
        yield "it is neither calibration nor test"
    if table.classes != card.classes:
        yield "it has other classes than the card"
    if table.num_exits != card.num_exits:
        yield f"it has {table.num_exits} exits, the card {card.num_exits}"
        return
    for name in ("stages", "heads"):
        if not np.allclose(getattr(table.costs, name), getattr(card.costs, name), atol=_ROUNDING):
            yield f"the costs of its {name} are not those of the card's MACs"


def _of_figures(card: Card, split: str, table: ExitTable) -> Iterator[str]:
    told = card.per_exit_accuracy.get(split)
    real = table.accuracy_per_exit
    if told is None or not np.allclose(told, real, atol=_ROUNDING):
        yield f"the card has the accuracies {told} on {split}, but its table {real.tolist()}."
    plain = plain_table(card, split, table)
    for point in card.operating_points:
        figures: SplitFigures | None = getattr(point, split)
        if figures is None:
            continue
        try:
            measured = split_figures(table, Policy.from_dict(point.policy), plain)
        except UserError as error:
            yield f"the operating point {point.name!r} cannot be applied to {split}: {error}"
            continue
        for name in ("accuracy", "relative_cost", "exit_share", "difference"):
            told_value, value = getattr(figures, name), getattr(measured, name)
            if told_value is None or value is None:
                continue
            if not np.allclose(told_value, value, atol=_ROUNDING):
                yield (
                    f"the operating point {point.name!r} has `{name}` {told_value} on {split}, but "
                    f"by the table it is {value}."
                )


def _of_plain(card: Card) -> Iterator[str]:
    if card.plain is None:
        return
    try:
        plain = card_of(card.plain.name)
    except UserError:  # not on this machine
        return
    told = {
        "calibration": card.plain.calibration_accuracy,
        "test": card.plain.test_accuracy,
    }
    for split, accuracy in told.items():
        real = plain.per_exit_accuracy.get(split, (accuracy,))[-1]
        if plain.dataset == card.dataset and abs(accuracy - real) > _ROUNDING:
            yield (
                f"the card has an accuracy of {accuracy} on {split} for the plain network "
                f"{card.plain.name}, whose own card has {real}."
            )

"""Samples of a routing: filtered by exit, class, answer and score; ordered; exported as CSV."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from core.data.prepared import ImageSet
from core.exits.metrics import score_histogram
from core.exits.routing import Flip, Routing, mean
from core.exits.table import ExitTable, FloatArray, IntArray
from core.foundation.errors import UserError
from core.foundation.files import csv_text

Order = Literal["data", "least_sure", "most_sure"]
FLIPS: tuple[Flip, ...] = get_args(Flip)
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True)
class Selection:
    """Filters and an order of samples. A filter that is None lets every sample pass.

    Args:
        exit_index: the exit where the sample leaves.
        label: its true class.
        right: whether its answer is right; samples without a label pass neither.
        flip: "rescued" (right early, wrong at the last exit) or "ruined" (wrong early, right at
            the last exit).
        answer: the class of its answer.
        agrees: whether the last exit gives the same answer.
        low: lowest score, at the exit where the sample leaves, in [0, 1].
        high: highest score there.
        order: "data" as in the table, else by that score; the sort is stable.

    Raises:
        UserError: an unknown flip or order, or a range that does not lie in [0, 1].
    """

    exit_index: int | None = None
    label: int | None = None
    right: bool | None = None
    flip: Flip | None = None
    answer: int | None = None
    agrees: bool | None = None
    low: float = 0.0
    high: float = 1.0
    order: Order = "data"

    def __post_init__(self) -> None:
        if self.flip is not None and self.flip not in FLIPS:
            raise UserError(f"expected `flip` to be one of {FLIPS}, but got {self.flip!r}.")
        if self.order not in ORDERS:
            raise UserError(f"expected `order` to be one of {ORDERS}, but got {self.order!r}.")
        if not 0 <= self.low <= self.high <= 1:
            raise UserError(
                "expected `low` and `high` with 0 <= low <= high <= 1, "
                f"but got {self.low:g} and {self.high:g}."
            )

    @property
    def selects_all(self) -> bool:
        """Whether no sample is filtered out."""
        return replace(self, order="data") == Selection()


def select(routing: Routing, selection: Selection) -> IntArray:
    """Return the positions ``(M,)`` in the table of the selected samples, in order."""
    matches = np.ones(len(routing), np.bool_)
    if selection.low > 0:
        matches &= routing.scores >= np.float32(selection.low)
    if selection.high < 1:
        matches &= routing.scores <= np.float32(selection.high)
    if selection.exit_index is not None:
        matches &= routing.exits == selection.exit_index
    if selection.label is not None:
        matches &= routing.table.labels == selection.label
    if selection.right is not None:
        matches &= routing.table.labelled & (routing.right == selection.right)
    if selection.flip is not None:
        matches &= routing.rescued if selection.flip == "rescued" else routing.ruined
    if selection.answer is not None:
        matches &= routing.answers == selection.answer
    if selection.agrees is not None:
        matches &= routing.agrees == selection.agrees
    positions = np.flatnonzero(matches).astype(np.int64)
    if selection.order == "data":
        return positions
    scores = routing.scores[positions]
    by_score = scores if selection.order == "least_sure" else -scores
    return positions[np.argsort(by_score, kind="stable")]


def extremes(routing: Routing, exit_index: int, most: int) -> tuple[IntArray, IntArray]:
    """Return the positions of the samples with the highest and the lowest scores at an exit.

    At most ``most`` each of the samples that leave there, the most extreme first. No sample is in
    both: of fewer than ``2 * most`` samples, the first array has the upper half.
    """
    order = select(routing, Selection(exit_index=exit_index, order="most_sure"))
    highest = order[: min(most, (len(order) + 1) // 2)]
    rest = order[len(highest) :]
    return highest, rest[::-1][:most]


@dataclass(frozen=True)
class ExitGroup:
    """The samples that leave at one exit.

    Attributes:
        count: number of samples.
        share: of all samples.
        labelled: number of those with a label.
        accuracy: over these; NaN without any.
        agreement: share of the group whose answer is the last exit's; NaN for an empty group.
    """

    count: int
    share: float
    labelled: int
    accuracy: float
    agreement: float


def exit_groups(routing: Routing) -> list[ExitGroup]:
    """Return the samples that leave at each of the E exits."""
    masks = [routing.exits == exit_index for exit_index in range(routing.table.num_exits)]
    labelled = routing.table.labelled
    return [
        ExitGroup(
            int(here.sum()),
            mean(here),
            int(labelled[here].sum()),
            routing.accuracy(here),
            routing.agreement(here),
        )
        for here in masks
    ]


def score_bars(routing: Routing, positions: IntArray, bins: int) -> tuple[IntArray, IntArray, bool]:
    """Return two histograms ``(bins,)`` of the scores of samples, and whether they are by label.

    Returns:
        Of right answers, of wrong answers, and True, where every sample has a label; else of
        answers that are the last exit's, of other answers, and False.
    """
    by_label = bool(routing.table.labelled.all())
    correct = routing.right if by_label else routing.agrees
    return *score_histogram(routing.scores[positions], correct[positions], bins), by_label


SCORE_STEPS = 100


def within_steps(scores: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the number of scores below, and of scores at most, each multiple of 1/100.

    So ``at_most[b] - below[a]`` samples are selected by ``low = a / 100`` and ``high = b / 100``.

    Args:
        scores: ``(N,)`` in [0, 1].

    Returns:
        Two arrays ``(101,)``, ``below`` and ``at_most``.
    """
    steps = np.array([step / SCORE_STEPS for step in range(SCORE_STEPS + 1)], np.float32)
    order = np.sort(scores)
    return (
        np.searchsorted(order, steps, side="left").astype(np.int64),
        np.searchsorted(order, steps, side="right").astype(np.int64),
    )


def page_of(positions: IntArray, number: int, size: int) -> tuple[IntArray, int, int]:
    """Return one page of positions, its number from 0, and the number of pages, at least 1.

    A number beyond the last page gives the last page.
    """
    pages = max(-(-len(positions) // size), 1)
    number = min(max(number, 0), pages - 1)
    return positions[number * size : (number + 1) * size], number, pages


def likeliest(
    table: ExitTable, position: int, exit_index: int, most: int
) -> list[tuple[int, float]]:
    """Return the likeliest classes of a sample at an exit with their probabilities, best first."""
    probabilities = table.probabilities[position, exit_index]
    order = np.argsort(-probabilities, kind="stable")[:most]
    classes = order if table.top_classes is None else table.top_classes[position, exit_index, order]
    return list(zip(classes.tolist(), probabilities[order].tolist(), strict=True))


FIELDS = ("id", "label", "answer", "exit", "score", "cost", "right", "flip")


def columns(routing: Routing, positions: IntArray) -> dict[str, Sequence[object]]:
    """Return the columns `FIELDS` and ``probability`` of a CSV file with a line per sample.

    ``label`` and ``answer`` are names of classes, ``exit`` counts from 1, ``cost`` is in units of
    the plain network, ``right`` is 1 or 0, ``probability`` is that of the answer. What is unknown
    is left empty.
    """
    table, classes = routing.table, (*routing.table.classes, "")
    right = np.where(table.labelled, routing.right.astype(np.int64).astype("U1"), "")
    return {
        "id": table.ids[positions].tolist(),
        "label": [classes[label] for label in table.labels[positions].tolist()],  # -1: the last
        "answer": [classes[answer] for answer in routing.answers[positions].tolist()],
        "exit": (routing.exits[positions] + 1).tolist(),
        "score": [f"{score:.6g}" for score in routing.scores[positions].tolist()],
        "cost": [f"{cost:.6g}" for cost in routing.costs[positions].tolist()],
        "right": right[positions].tolist(),
        "flip": [routing.flip(position) or "" for position in positions.tolist()],
        "probability": [f"{value:.6g}" for value in routing.probabilities[positions].tolist()],
    }


def to_csv(routing: Routing, positions: IntArray, names: Sequence[str] | None = None) -> str:
    """Return samples as CSV with the `columns` `FIELDS`, one line each.

    ``names`` of all N samples become another column, ``file``.
    """
    values = columns(routing, positions)
    written = [values[field] for field in FIELDS]
    if names is None:
        return csv_text(FIELDS, written)
    return csv_text((*FIELDS, "file"), [*written, [names[position] for position in positions]])


def belongs(table: ExitTable, images: ImageSet, by_ids: bool) -> bool:
    """Return whether ``images`` are the samples of a table, judged by their labels.

    Args:
        table: with a label for every sample.
        images: all images of a data set's file, or the samples in the table's order.
        by_ids: whether the table's ids are indices into ``images``.
    """
    if table.classes != images.classes or not len(table):
        return False
    if not by_ids:
        return np.array_equal(images.labels, table.labels)
    if table.ids.min() < 0 or table.ids.max() >= len(images):
        return False
    return np.array_equal(images.labels[table.ids], table.labels)

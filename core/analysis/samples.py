"""Which samples are meant: chosen by exit, class, answer and score, put in order, written out."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.data.prepared import ImageSet
from core.exits.policy import Policy
from core.exits.report import exit_scores, flips, score_histogram
from core.exits.routing import Decision, decide
from core.exits.table import BoolArray, ExitTable, FloatArray, IntArray
from core.foundation.errors import UserError

Flip = Literal["rescued", "ruined"]
Order = Literal["data", "least_sure", "most_sure"]
FLIPS: tuple[Flip, ...] = get_args(Flip)
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True)
class Selection:
    """What is asked of a sample; each part may be left open.

    Args:
        exit_index: where it leaves.
        label: the class it really is.
        right: whether the answer it gets is right. Samples without a label are neither.
        flip: "rescued" (right early, wrong at the last exit) or "ruined" (the other way round).
        answer: the class it is taken for.
        agrees: whether the last exit would have given the same answer.
        low: the least score at the exit where it leaves, in [0, 1].
        high: the greatest.
        order: "data" as in the table, else by that score; equal ones stay as in the table.

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
    def whole(self) -> bool:
        """Whether nothing is left out, in whatever order."""
        open_parts = {field.name for field in fields(self)} - {"order"}
        untouched = Selection()
        return all(getattr(self, name) == getattr(untouched, name) for name in open_parts)


@dataclass(frozen=True, eq=False)
class Routed:
    """A table with what a policy makes of its N samples; every array is ``(N,)``.

    Attributes:
        decision: exits, answers and costs.
        scores: how sure each sample's exit was, in [0, 1]. The final exit asks for no score: there
            it is the criterion's all the same, or max probability where the criterion is learned.
        right: whether the answer is the label.
        rescued: right early, wrong at the last exit.
        ruined: wrong early, right at the last exit.
        agrees: whether the last exit gives the same answer.
    """

    table: ExitTable
    decision: Decision
    scores: FloatArray
    right: BoolArray
    rescued: BoolArray
    ruined: BoolArray
    agrees: BoolArray

    def __len__(self) -> int:
        return len(self.table)

    def flip(self, position: int) -> Flip | None:
        """Return how leaving early changed the verdict on one sample, if it did."""
        if self.rescued[position]:
            return "rescued"
        return "ruined" if self.ruined[position] else None


def routed(table: ExitTable, policy: Policy) -> Routed:
    """Return who leaves where under ``policy``, how sure, and whether rightly.

    Raises:
        UserError: as `core.exits.routing.decide`.
    """
    decision = decide(table, policy)
    every = np.arange(len(table))
    rescued, ruined = flips(table, decision)
    return Routed(
        table=table,
        decision=decision,
        scores=exit_scores(table, policy)[every, decision.exits],
        right=decision.answers == table.labels,
        rescued=rescued,
        ruined=ruined,
        agrees=decision.answers == table.answers[:, -1],
    )


def select(samples: Routed, selection: Selection) -> IntArray:
    """Return the positions ``(M,)`` in the table of the samples that are meant, in order."""
    meant = np.ones(len(samples), np.bool_)
    if selection.low > 0:
        meant &= samples.scores >= np.float32(selection.low)
    if selection.high < 1:
        meant &= samples.scores <= np.float32(selection.high)
    if selection.exit_index is not None:
        meant &= samples.decision.exits == selection.exit_index
    if selection.label is not None:
        meant &= samples.table.labels == selection.label
    if selection.right is not None:
        meant &= samples.table.labelled & (samples.right == selection.right)
    if selection.flip is not None:
        meant &= samples.rescued if selection.flip == "rescued" else samples.ruined
    if selection.answer is not None:
        meant &= samples.decision.answers == selection.answer
    if selection.agrees is not None:
        meant &= samples.agrees == selection.agrees
    return _ordered(samples, np.flatnonzero(meant).astype(np.int64), selection.order)


def _ordered(samples: Routed, positions: IntArray, order: Order) -> IntArray:
    if order == "data":
        return positions
    scores = samples.scores[positions]
    return positions[np.argsort(scores if order == "least_sure" else -scores, kind="stable")]


def extremes(samples: Routed, exit_index: int, most: int) -> tuple[IntArray, IntArray]:
    """Return the positions of the surest and of the least sure samples that leave at an exit.

    At most ``most`` each, the most extreme first. A sample is never in both: of too few, the
    surer half is sure.
    """
    order = select(samples, Selection(exit_index=exit_index, order="most_sure"))
    surest = order[: min(most, (len(order) + 1) // 2)]
    rest = order[len(surest) :]
    return surest, rest[::-1][:most]


@dataclass(frozen=True)
class Leaving:
    """Those who leave at one exit: how many, what part of all, and how many of them rightly.

    ``accuracy`` is over those with a label, ``agreement`` is the part whose answer the last exit
    shares; each is NaN where there is none.
    """

    count: int
    share: float
    accuracy: float
    agreement: float


def leaving(samples: Routed) -> list[Leaving]:
    """Return who leaves at each of the E exits."""
    labelled = samples.table.labelled
    found = []
    for exit_index in range(samples.table.num_exits):
        here = samples.decision.exits == exit_index
        right = samples.right[here & labelled]
        found.append(
            Leaving(
                int(here.sum()),
                float(here.mean()) if len(here) else float("nan"),
                float(right.mean()) if len(right) else float("nan"),
                agreement_of(samples, np.flatnonzero(here)),
            )
        )
    return found


def accuracy_of(samples: Routed, positions: IntArray) -> float:
    """Return the accuracy of the answers to these samples; NaN where none has a label."""
    right = samples.right[positions][samples.table.labelled[positions]]
    return float(right.mean()) if len(right) else float("nan")


def agreement_of(samples: Routed, positions: IntArray) -> float:
    """Return the part of these samples whose answer the last exit shares; NaN of none."""
    return float(samples.agrees[positions].mean()) if len(positions) else float("nan")


def score_bars(samples: Routed, positions: IntArray, bins: int) -> tuple[IntArray, IntArray, bool]:
    """Return a histogram ``(bins,)`` of the scores of samples, and of those it speaks against.

    Returns:
        Right and wrong answers and True, where every sample has a label; else those whose answer
        the last exit shares, those whose it does not, and False.
    """
    by_label = bool(samples.table.labelled.all())
    fine = samples.right if by_label else samples.agrees
    return *score_histogram(samples.scores[positions], fine[positions], bins), by_label


SCORE_STEPS = 100


def within_steps(scores: FloatArray) -> tuple[IntArray, IntArray]:
    """Return how many scores are below, and how many at most, each multiple of 1/100.

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
    """Return one page of positions, its number from 0, and how many pages there are.

    A number beyond the last page gives the last one. There is always one page, if an empty one.
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


def to_csv(samples: Routed, positions: IntArray, names: Sequence[str] | None = None) -> str:
    """Return these samples as CSV with the columns `FIELDS`, one line each.

    ``label`` and ``answer`` are names of classes, ``exit`` counts from 1, ``cost`` is in units of
    the plain network, ``right`` is 1 or 0. What is unknown is left empty. With ``names`` of all N
    samples there is one more column, ``file``.
    """
    table, classes = samples.table, samples.table.classes
    columns: list[Iterable[object]] = [
        table.ids[positions].tolist(),
        (classes[label] if label >= 0 else "" for label in table.labels[positions].tolist()),
        (classes[answer] for answer in samples.decision.answers[positions].tolist()),
        (samples.decision.exits[positions] + 1).tolist(),
        (f"{score:.6g}" for score in samples.scores[positions].tolist()),
        (f"{cost:.6g}" for cost in samples.decision.costs[positions].tolist()),
        np.where(table.labelled, samples.right.astype(np.int64).astype("U1"), "")[positions],
        (samples.flip(position) or "" for position in positions.tolist()),
    ]
    if names is not None:
        columns.append(names[position] for position in positions.tolist())
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(FIELDS if names is None else (*FIELDS, "file"))
    writer.writerows(zip(*columns, strict=True))
    return content.getvalue()


def belongs(table: ExitTable, images: ImageSet, by_ids: bool) -> bool:
    """Tell whether ``images`` are the samples of a table, by their labels.

    Args:
        table: with a label for every sample.
        images: a whole file (``by_ids``: a sample's id says which image is its), or the same
            samples in the same order.
        by_ids: which of the two.
    """
    if table.classes != images.classes or not len(table):
        return False
    if not by_ids:
        return np.array_equal(images.labels, table.labels)
    if table.ids.min() < 0 or table.ids.max() >= len(images):
        return False
    return np.array_equal(images.labels[table.ids], table.labels)


def place_of(image: NDArray[np.uint8], images: ImageSet) -> int | None:
    """Return which of ``images`` has exactly the pixels of ``image`` (H, W, C), or None."""
    if image.shape != images.images.shape[1:]:
        return None
    same = np.flatnonzero((images.images == image).all(axis=(1, 2, 3)))
    return int(same[0]) if len(same) else None

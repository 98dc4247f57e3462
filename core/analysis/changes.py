"""The single samples on which two configurations part: which, in what way, in what order."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from core.exits.policy import Policy
from core.exits.routing import Decision, decide
from core.exits.table import BoolArray, ExitTable, FloatArray, IntArray
from core.foundation.errors import UserError

Kind = Literal["to_wrong", "to_right", "other_answer", "other_exit"]
Order = Literal["surest", "least_sure", "compute", "data"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, eq=False)
class Side:
    """What one configuration makes of N samples.

    Attributes:
        decision: exits, answers and costs, each ``(N,)``.
        right: ``(N,)`` whether the answer is the label; False without a label.
        probabilities: ``(N,)`` of each answer at the exit that gives it, in [0, 1].
        num_exits: E.
    """

    decision: Decision
    right: BoolArray
    probabilities: FloatArray
    num_exits: int


@dataclass(frozen=True, eq=False)
class Changes:
    """Two configurations, A and B, on the same N samples, sample by sample.

    Attributes:
        a: what A makes of them.
        b: what B makes of them.
        kinds: ``(N,)`` place in `KINDS`, or -1 where exit and answer stay. ``to_wrong``: A is
            right and B wrong; ``to_right``: the other way round; ``other_answer``: neither is
            right, or it is not known; ``other_exit``: the same answer from another exit. Networks
            with other numbers of exits have none in common, so between them there is no
            ``other_exit``.
        ids: ``(N,)``.
        labels: ``(N,)``, -1 where unknown.
        classes: K names.
    """

    a: Side
    b: Side
    kinds: IntArray
    ids: IntArray
    labels: IntArray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def kind(self, position: int) -> Kind | None:
        """Return how a sample changes, if it does."""
        place = int(self.kinds[position])
        return None if place < 0 else KINDS[place]

    def count(self, kind: Kind | None = None) -> int:
        """Return how many samples change in this way, or in any."""
        chosen = self.kinds >= 0 if kind is None else self.kinds == KINDS.index(kind)
        return int(chosen.sum())


def changes(table_a: ExitTable, policy_a: Policy, table_b: ExitTable, policy_b: Policy) -> Changes:
    """Return what becomes of every sample under two configurations.

    Args:
        table_a: what the network of A said.
        policy_a: how A decides on it.
        table_b: what the network of B said about the same samples in the same order.
        policy_b: how B decides on it.

    Raises:
        UserError: the tables are of other samples or classes, or a policy does not fit its table.
    """
    check_same_samples(table_a, table_b)
    a, b = _side(table_a, policy_a), _side(table_b, policy_b)
    kinds = np.full(len(table_a), -1, np.int64)
    if a.num_exits == b.num_exits:
        kinds[a.decision.exits != b.decision.exits] = KINDS.index("other_exit")
    kinds[a.decision.answers != b.decision.answers] = KINDS.index("other_answer")
    kinds[~a.right & b.right] = KINDS.index("to_right")
    kinds[a.right & ~b.right] = KINDS.index("to_wrong")
    return Changes(a, b, kinds, table_a.ids, table_a.labels, table_a.classes)


def check_same_samples(table_a: ExitTable, table_b: ExitTable) -> None:
    """Raise `UserError` unless two tables are of the same samples, classes and order."""
    if table_a.classes != table_b.classes:
        raise UserError(
            f"expected two tables with the same classes, but got {len(table_a.classes)} and "
            f"{len(table_b.classes)} of them with other names; compare models of one data set."
        )
    same = np.array_equal(table_a.ids, table_b.ids) and np.array_equal(
        table_a.labels, table_b.labels
    )
    if not same:
        raise UserError(
            f"expected two tables of the same samples, but got {len(table_a):,} and "
            f"{len(table_b):,} samples that differ in ids or labels; compare models whose tables "
            "were made of the same split."
        )


def _side(table: ExitTable, policy: Policy) -> Side:
    decision = decide(table, policy)
    rows = np.arange(len(table))
    said = table.probabilities[rows, decision.exits]  # (N, K or k)
    if table.top_classes is None:
        probabilities = said[rows, decision.answers]
    else:
        answered = table.top_classes[rows, decision.exits] == decision.answers[:, None]
        probabilities = np.where(answered, said, 0).sum(axis=1)
    return Side(
        decision,
        (decision.answers == table.labels) & table.labelled,
        probabilities.astype(np.float32),
        table.num_exits,
    )


def listed(
    found: Changes,
    kind: Kind | None = None,
    order: Order = "surest",
    plain_macs: tuple[int, int] = (1, 1),
) -> IntArray:
    """Return the positions ``(M,)`` of the samples that change, in order.

    Args:
        found: the samples.
        kind: in this way only.
        order: "surest" goes kind by kind as in `KINDS`, each with the surest answers of B first,
            "least_sure" with those last; "compute" begins where most compute lies between A and
            B; "data" keeps the order of the table. Equal ones stay as in the table.
        plain_macs: MACs of the plain networks of A and B, which their costs are in units of.

    Raises:
        UserError: an unknown kind or order.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"expected `kind` to be one of {KINDS}, but got {kind!r}.")
    if order not in ORDERS:
        raise UserError(f"expected `order` to be one of {ORDERS}, but got {order!r}.")
    meant = found.kinds >= 0 if kind is None else found.kinds == KINDS.index(kind)
    positions = np.flatnonzero(meant).astype(np.int64)
    if order == "data":
        return positions
    if order == "compute":
        macs_a, macs_b = plain_macs
        apart = np.abs(found.b.decision.costs * macs_b - found.a.decision.costs * macs_a)
        return positions[np.argsort(-apart[positions], kind="stable")]
    sure = found.b.probabilities[positions]
    return positions[np.lexsort((sure if order == "least_sure" else -sure, found.kinds[positions]))]


FIELDS = (
    *("id", "label", "change"),
    *(f"{side}_{name}" for side in "ab" for name in ("exit", "answer", "right", "probability")),
)


def to_csv(found: Changes, positions: IntArray) -> str:
    """Return these samples as CSV with the columns `FIELDS`, one line each.

    ``label`` and answers are names of classes, exits count from 1, ``right`` is 1 or 0, and
    ``change`` is one of `KINDS`. What is unknown is left empty.
    """
    labelled = (found.labels >= 0)[positions]
    columns: list[Iterable[object]] = [
        found.ids[positions].tolist(),
        (found.classes[label] if label >= 0 else "" for label in found.labels[positions].tolist()),
        (found.kind(position) or "" for position in positions.tolist()),
    ]
    for side in (found.a, found.b):
        columns += [
            (side.decision.exits[positions] + 1).tolist(),
            [found.classes[answer] for answer in side.decision.answers[positions].tolist()],
            np.where(labelled, side.right[positions].astype(np.int64).astype("U1"), ""),
            [f"{probability:.6g}" for probability in side.probabilities[positions].tolist()],
        ]
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows(zip(*columns, strict=True))
    return content.getvalue()

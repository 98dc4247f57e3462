"""Two configurations on the same samples: what changed, and whether it could be chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar, get_args

import numpy as np

from core.analysis.samples import columns
from core.exits.policy import Policy
from core.exits.report import Report
from core.exits.routing import Routing, route
from core.exits.table import CostArray, ExitTable, IntArray
from core.foundation.errors import UserError
from core.foundation.files import csv_text

Change = Literal["to_wrong", "to_right", "other_answer", "other_exit"]
Order = Literal["surest", "least_sure", "compute", "data"]
CHANGES: tuple[Change, ...] = get_args(Change)
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two configurations, A and B, on the same N samples; made by `compare`.

    Attributes:
        a: the routing of A.
        b: the routing of B.
    """

    a: Routing
    b: Routing

    def __len__(self) -> int:
        return len(self.a)

    @cached_property
    def first(self) -> Report:
        """The figures of A."""
        return Report.of(self.a)

    @cached_property
    def second(self) -> Report:
        """The figures of B."""
        return Report.of(self.b)

    @property
    def same_exits(self) -> bool:
        """Whether A and B have as many exits; else they have none in common."""
        return self.a.table.num_exits == self.b.table.num_exits

    @cached_property
    def exits(self) -> IntArray:
        """``(E of A, E of B)`` how many samples leave at this exit of A and that one of B."""
        counts = np.zeros((self.a.table.num_exits, self.b.table.num_exits), np.int64)
        np.add.at(counts, (self.a.exits, self.b.exits), 1)
        return counts

    @cached_property
    def changes(self) -> IntArray:
        """``(N,)`` place in `CHANGES`, or -1 where exit and answer stay.

        ``to_wrong``: A is right and B wrong; ``to_right``: the other way round; ``other_answer``:
        neither is right, or it is not known; ``other_exit``: the same answer from another exit,
        where the two have `same_exits`.
        """
        changes = np.full(len(self), -1, np.int64)
        if self.same_exits:
            changes[self.a.exits != self.b.exits] = CHANGES.index("other_exit")
        changes[self.a.answers != self.b.answers] = CHANGES.index("other_answer")
        changes[~self.a.right & self.b.right] = CHANGES.index("to_right")
        changes[self.a.right & ~self.b.right] = CHANGES.index("to_wrong")
        return changes

    def change(self, position: int) -> Change | None:
        """Return how a sample changes, if it does."""
        place = int(self.changes[position])
        return None if place < 0 else CHANGES[place]

    def count(self, change: Change | None = None) -> int:
        """Return how many samples change in this way, or in any."""
        return len(self.changed(change, "data"))

    @property
    def to_right(self) -> int:
        """How many samples A answers wrongly and B rightly."""
        return self.count("to_right")

    @property
    def to_wrong(self) -> int:
        """How many samples A answers rightly and B wrongly."""
        return self.count("to_wrong")

    @property
    def changed_exit(self) -> int | None:
        """How many samples leave at another exit; None unless the two have `same_exits`."""
        return int((self.a.exits != self.b.exits).sum()) if self.same_exits else None

    @property
    def changed_answer(self) -> int:
        """How many samples get another answer."""
        return int((self.a.answers != self.b.answers).sum())

    @property
    def p_value(self) -> float:
        """Of `sign_test` on the samples that only one of the two answers rightly."""
        return sign_test(self.to_right, self.to_wrong)

    def changed(
        self,
        change: Change | None = None,
        order: Order = "surest",
        plain_macs: tuple[int, int] = (1, 1),
    ) -> IntArray:
        """Return the positions ``(M,)`` of the samples that change, in order.

        Args:
            change: in this way only; None: in any.
            order: "surest" goes change by change as in `CHANGES`, each with the most probable
                answers of B first, "least_sure" with those last; "compute" begins where most
                compute lies between A and B; "data" keeps the order of the table. Equal ones stay
                as in the table.
            plain_macs: MACs of the plain networks of A and B, which their costs are in units of.

        Raises:
            UserError: an unknown change or order.
        """
        if change is not None and change not in CHANGES:
            raise UserError(f"expected `change` to be one of {CHANGES}, but got {change!r}.")
        if order not in ORDERS:
            raise UserError(f"expected `order` to be one of {ORDERS}, but got {order!r}.")
        changes = self.changes
        matches = changes >= 0 if change is None else changes == CHANGES.index(change)
        positions = np.flatnonzero(matches).astype(np.int64)
        if order == "data":
            return positions
        if order == "compute":
            macs_a, macs_b = plain_macs
            apart = np.abs(self.b.costs * macs_b - self.a.costs * macs_a)
            return positions[np.argsort(-apart[positions], kind="stable")]
        probable = self.b.probabilities[positions]
        keys = (probable if order == "least_sure" else -probable, changes[positions])
        return positions[np.lexsort(keys)]


def compare(
    table_a: ExitTable, policy_a: Policy, table_b: ExitTable, policy_b: Policy
) -> Comparison:
    """Compare two configurations.

    Args:
        table_a: the outputs of the network of A.
        policy_a: of A.
        table_b: the outputs of the network of B for the same samples in the same order.
        policy_b: of B.

    Raises:
        UserError: the tables are of other samples or classes, or a policy does not fit its table.
    """
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
    return Comparison(route(table_a, policy_a), route(table_b, policy_b))


FIELDS = (
    *("id", "label", "change"),
    *(f"{side}_{name}" for side in "ab" for name in ("exit", "answer", "right", "probability")),
)


def to_csv(comparison: Comparison, positions: IntArray) -> str:
    """Return these samples as CSV with the columns `FIELDS`, one line each.

    ``change`` is one of `CHANGES`; the rest as in `core.analysis.samples.columns`.
    """
    values: dict[str, Sequence[object]] = {
        "change": [comparison.change(position) or "" for position in positions.tolist()]
    }
    for side, routing in (("a", comparison.a), ("b", comparison.b)):
        shared = columns(routing, positions)
        values |= {"id": shared["id"], "label": shared["label"]}
        values |= {f"{side}_{name}": column for name, column in shared.items()}
    return csv_text(FIELDS, [values[field] for field in FIELDS])


def sign_test(better: int, worse: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (McNemar, 1947).

    If both configurations were equally good, each of the ``better + worse`` samples on which just
    one of them is right would be a toss of a fair coin. This is the probability of a split at
    least as uneven; 1 when there are none.
    """
    from scipy.stats import binomtest  # takes a second to import

    tosses = better + worse
    return float(binomtest(better, tosses).pvalue) if tosses else 1.0


Costs = TypeVar("Costs", float, CostArray)


def in_macs(relative_cost: Costs, plain_macs: int) -> Costs:
    """Return relative costs as MACs: networks of other sizes share no plain network."""
    return relative_cost * plain_macs


@dataclass(frozen=True)
class Differences:
    """By how much B differs from A.

    Attributes:
        accuracy: B − A, in [-1, 1].
        relative_cost: B − A; NaN where the plain networks differ, as one is no unit for the other.
        macs: B − A, per image.
        times: B / A, of the MACs per image.
    """

    accuracy: float
    relative_cost: float
    macs: float
    times: float


def differences(comparison: Comparison, plain_macs_a: int, plain_macs_b: int) -> Differences:
    """Return how B differs from A, given the MACs of their plain networks."""
    a, b = comparison.first, comparison.second
    macs_a = in_macs(a.relative_cost, plain_macs_a)
    macs_b = in_macs(b.relative_cost, plain_macs_b)
    one_unit = plain_macs_a == plain_macs_b
    return Differences(
        accuracy=b.accuracy - a.accuracy,
        relative_cost=b.relative_cost - a.relative_cost if one_unit else math.nan,
        macs=macs_b - macs_a,
        times=macs_b / macs_a,
    )

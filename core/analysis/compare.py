"""Comparison of two configurations on the same samples: what changed, and whether by chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar, get_args

import numpy as np

from core.analysis.samples import columns
from core.exits.intervals import difference_interval, mean_interval
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
        """Whether A and B have equally many exits; else no exit of one matches one of the other."""
        return self.a.table.num_exits == self.b.table.num_exits

    @cached_property
    def exits(self) -> IntArray:
        """``(E of A, E of B)`` number of samples that leave at an exit of A and an exit of B."""
        counts = np.zeros((self.a.table.num_exits, self.b.table.num_exits), np.int64)
        np.add.at(counts, (self.a.exits, self.b.exits), 1)
        return counts

    @cached_property
    def changes(self) -> IntArray:
        """``(N,)`` index in `CHANGES`, or -1 where exit and answer are the same.

        ``to_wrong``: A is right and B wrong; ``to_right``: A is wrong and B right;
        ``other_answer``: the answers differ, and neither is right or the label is unknown;
        ``other_exit``: the same answer from another exit, where the two have `same_exits`.
        """
        changes = np.full(len(self), -1, np.int64)
        if self.same_exits:
            changes[self.a.exits != self.b.exits] = CHANGES.index("other_exit")
        changes[self.a.answers != self.b.answers] = CHANGES.index("other_answer")
        changes[~self.a.right & self.b.right] = CHANGES.index("to_right")
        changes[self.a.right & ~self.b.right] = CHANGES.index("to_wrong")
        return changes

    def change(self, position: int) -> Change | None:
        """Return the change of a sample, or None."""
        index = int(self.changes[position])
        return None if index < 0 else CHANGES[index]

    def select(self, positions: IntArray) -> "Comparison":
        """Return the comparison on the samples at these positions of both tables."""
        return Comparison(
            *(route(side.table.select(positions), side.policy) for side in (self.a, self.b))
        )

    def count(self, change: Change | None = None) -> int:
        """Return the number of samples with this change, or with any."""
        return len(self.changed(change, "data"))

    @property
    def to_right(self) -> int:
        """Number of samples that A answers wrongly and B rightly."""
        return self.count("to_right")

    @property
    def to_wrong(self) -> int:
        """Number of samples that A answers rightly and B wrongly."""
        return self.count("to_wrong")

    @property
    def changed_exit(self) -> int | None:
        """Number of samples that leave at another exit; None unless the two have `same_exits`."""
        return int((self.a.exits != self.b.exits).sum()) if self.same_exits else None

    @property
    def changed_answer(self) -> int:
        """Number of samples that get another answer."""
        return int((self.a.answers != self.b.answers).sum())

    @property
    def p_value(self) -> float:
        """The p-value of `sign_test` on the samples that only A or only B answers rightly."""
        return sign_test(self.to_right, self.to_wrong)

    def changed(
        self,
        change: Change | None = None,
        order: Order = "surest",
        plain_macs: tuple[int, int] = (1, 1),
    ) -> IntArray:
        """Return the positions ``(M,)`` of the samples that change, in order.

        Args:
            change: of the samples; None: any.
            order: "surest" sorts by change as in `CHANGES`, then by falling probability of B's
                answer; "least_sure" by rising probability; "compute" by falling difference in
                compute between A and B; "data" keeps the order of the table. The sorts are stable.
            plain_macs: MACs of the plain networks of A and B, the units of their costs.

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
            difference = np.abs(self.b.costs * macs_b - self.a.costs * macs_a)
            return positions[np.argsort(-difference[positions], kind="stable")]
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
    """Return samples as CSV with the columns `FIELDS`, one line each.

    ``change`` is one of `CHANGES`; the other columns are as in `core.analysis.samples.columns`.
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

    Under the null hypothesis of equally good configurations, each of the ``better + worse``
    samples on which only one is right is a toss of a fair coin. The p-value is the probability of
    a split at least as uneven; 1 without such samples.
    """
    from scipy.special import bdtr  # takes a quarter of a second to import

    tosses = better + worse
    return min(1.0, 2 * float(bdtr(min(better, worse), tosses, 0.5))) if tosses else 1.0


Costs = TypeVar("Costs", float, CostArray)


def in_macs(relative_cost: Costs, plain_macs: int) -> Costs:
    """Return relative costs as MACs, which are comparable between networks of different size."""
    return relative_cost * plain_macs


@dataclass(frozen=True)
class Differences:
    """Differences of B from A.

    Attributes:
        accuracy: B − A, in [-1, 1].
        relative_cost: B − A; NaN where the plain networks, the units of the costs, differ.
        macs: B − A, per image.
        times: B / A, of the MACs per image.
        accuracy_interval: 95 % confidence interval of ``accuracy``, paired (Tango's); it holds
            where the samples chose neither A nor B.
        relative_cost_interval: of ``relative_cost``: mean ± 1.96 standard errors of the pairs.
    """

    accuracy: float
    relative_cost: float
    macs: float
    times: float
    accuracy_interval: tuple[float, float]
    relative_cost_interval: tuple[float, float]


def differences(comparison: Comparison, plain_macs_a: int, plain_macs_b: int) -> Differences:
    """Return the differences of B from A, given the MACs of their plain networks."""
    a, b = comparison.first, comparison.second
    macs_a = in_macs(a.relative_cost, plain_macs_a)
    macs_b = in_macs(b.relative_cost, plain_macs_b)
    same_unit = plain_macs_a == plain_macs_b
    labelled = int(np.count_nonzero(comparison.a.table.labelled))
    unknown = (math.nan, math.nan)
    return Differences(
        accuracy=b.accuracy - a.accuracy,
        relative_cost=b.relative_cost - a.relative_cost if same_unit else math.nan,
        macs=macs_b - macs_a,
        times=macs_b / macs_a,
        accuracy_interval=difference_interval(comparison.to_wrong, comparison.to_right, labelled)
        if labelled
        else unknown,
        relative_cost_interval=mean_interval(comparison.b.costs - comparison.a.costs)
        if same_unit and len(comparison)
        else unknown,
    )

"""Two configurations on the same samples: what changed, and whether it could be chance."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from core.errors import UserError
from core.policy import Policy
from core.report import Report, evaluate
from core.routing import decide
from core.table import CostArray, ExitTable, IntArray


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two configurations, A and B, on the same N samples.

    Attributes:
        first: the figures of A.
        second: the figures of B.
        exits: ``(E of A, E of B)`` how many samples leave at this exit of A and that one of B.
        changed_exit: samples that leave at another exit, or None where the numbers of exits
            differ and there is nothing to compare.
        changed_answer: samples that get another answer.
        to_right: samples that A answers wrongly and B rightly.
        to_wrong: samples that A answers rightly and B wrongly.
        p_value: of `sign_test` on these two.
    """

    first: Report
    second: Report
    exits: IntArray
    changed_exit: int | None
    changed_answer: int
    to_right: int
    to_wrong: int
    p_value: float


def compare(
    table_a: ExitTable, policy_a: Policy, table_b: ExitTable, policy_b: Policy
) -> Comparison:
    """Compare two configurations.

    Args:
        table_a: what the network of A said.
        policy_a: how A decides on it.
        table_b: what the network of B said about the same samples in the same order.
        policy_b: how B decides on it.

    Raises:
        UserError: the tables are of other samples or classes, or a policy does not fit its table.
    """
    check_same_samples(table_a, table_b)
    a, b = decide(table_a, policy_a), decide(table_b, policy_b)
    labelled = table_a.labelled
    right_a = (a.answers == table_a.labels) & labelled
    right_b = (b.answers == table_b.labels) & labelled
    to_right, to_wrong = int((~right_a & right_b).sum()), int((right_a & ~right_b).sum())
    exits = np.zeros((table_a.num_exits, table_b.num_exits), np.int64)
    np.add.at(exits, (a.exits, b.exits), 1)
    alike = table_a.num_exits == table_b.num_exits
    return Comparison(
        first=evaluate(table_a, policy_a),
        second=evaluate(table_b, policy_b),
        exits=exits,
        changed_exit=int((a.exits != b.exits).sum()) if alike else None,
        changed_answer=int((a.answers != b.answers).sum()),
        to_right=to_right,
        to_wrong=to_wrong,
        p_value=sign_test(to_right, to_wrong),
    )


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


def sign_test(better: int, worse: int) -> float:
    """Return the exact two-sided p-value of McNemar's test.

    If both configurations were equally good, each of the ``better + worse`` samples on which just
    one of them is right would be a toss of a fair coin. This is the probability of a split at
    least as uneven: min(1, 2 · P(X <= min(better, worse))), X ~ Binomial(better + worse, ½)
    (McNemar, 1947). It is 1 when there are none.
    """
    tosses, ways, total = better + worse, 1, 0
    for heads in range(min(better, worse) + 1):
        total += ways
        ways = ways * (tosses - heads) // (heads + 1)
    return min(1.0, (2 * total) / (1 << tosses))


Costs = TypeVar("Costs", float, CostArray)


def in_macs(relative_cost: Costs, plain_macs: int) -> Costs:
    """Return relative costs as MACs: networks of other sizes share no plain network."""
    return relative_cost * plain_macs


def differences(
    comparison: Comparison, plain_macs_a: int, plain_macs_b: int
) -> tuple[float, float, float]:
    """Return B − A: of accuracy, of the relative costs, and of the MACs per image."""
    a, b = comparison.first, comparison.second
    macs = b.relative_cost * plain_macs_b - a.relative_cost * plain_macs_a
    return b.accuracy - a.accuracy, b.relative_cost - a.relative_cost, macs

"""Two configurations on the same samples: what changed, and whether it could be chance."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from core.analysis.changes import Changes, changes
from core.exits.policy import Policy
from core.exits.report import Report, evaluate
from core.exits.table import CostArray, ExitTable, IntArray


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
        changes: the same, sample by sample.
    """

    first: Report
    second: Report
    exits: IntArray
    changed_exit: int | None
    changed_answer: int
    to_right: int
    to_wrong: int
    p_value: float
    changes: Changes


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
    found = changes(table_a, policy_a, table_b, policy_b)
    a, b = found.a.decision, found.b.decision
    exits = np.zeros((table_a.num_exits, table_b.num_exits), np.int64)
    np.add.at(exits, (a.exits, b.exits), 1)
    alike = table_a.num_exits == table_b.num_exits
    to_right, to_wrong = found.count("to_right"), found.count("to_wrong")
    return Comparison(
        first=evaluate(table_a, policy_a),
        second=evaluate(table_b, policy_b),
        exits=exits,
        changed_exit=int((a.exits != b.exits).sum()) if alike else None,
        changed_answer=int((a.answers != b.answers).sum()),
        to_right=to_right,
        to_wrong=to_wrong,
        p_value=sign_test(to_right, to_wrong),
        changes=found,
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

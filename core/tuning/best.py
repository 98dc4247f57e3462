"""The best policy of several criteria within a limit."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from core.exits.policy import Policy
from core.exits.report import Report, evaluate
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.tuning.front import Front, best_within_cost, cheapest_within_drop, front


def fronts_of(table: ExitTable, criteria: Sequence[str]) -> list[Front]:
    """Return the `front` of each criterion."""
    return [front(table, criterion) for criterion in criteria]


def cheapest_of_all(
    table: ExitTable, fronts: Sequence[Front], reference_accuracy: float, max_drop: float
) -> Policy:
    """Return what `cheapest_within_drop` finds on the best of the table's fronts.

    Raises:
        UserError: as there; of the criterion that comes nearest.
    """
    return _best(
        table,
        sorted(fronts, key=lambda one: -one.accuracy[-1]),
        lambda one: cheapest_within_drop(one, reference_accuracy, max_drop),
        lambda report: (report.relative_cost, -report.accuracy),
    )


def best_of_all(table: ExitTable, fronts: Sequence[Front], max_cost: float) -> Policy:
    """Return what `best_within_cost` finds on the best of the table's fronts.

    Raises:
        UserError: as there; of the criterion that comes nearest.
    """
    return _best(
        table,
        sorted(fronts, key=lambda one: one.relative_cost[0]),
        lambda one: best_within_cost(one, max_cost),
        lambda report: (-report.accuracy, report.relative_cost),
    )


def _best(
    table: ExitTable,
    fronts: Sequence[Front],  # the one with the longest reach first
    choose: Callable[[Front], Policy],
    order: Callable[[Report], tuple[float, float]],
) -> Policy:
    policies = [choose(fronts[0])]
    for one in fronts[1:]:
        with suppress(UserError):  # out of this criterion's reach
            policies.append(choose(one))
    return min(policies, key=lambda policy: order(evaluate(table, policy)))

"""The accuracy–cost front of a criterion: the best policies there are on a table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import route, window_at_end
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray, IntArray
from core.foundation.errors import UserError
from core.tuning.search import Problem, search

MOST_EXITS_IN_CHOICES = 6

_TOLERANCE = 1e-9
_SLACK = 0.0005


@dataclass(frozen=True, eq=False)
class Front:
    """M policies, none of which another beats, by rising cost and rising accuracy.

    Attributes:
        criterion: the name of the score they share.
        thresholds: ``(M, E-1)`` in [0, 1], halfway between two scores of the table.
        enabled: ``(M, E-1)``.
        accuracy: ``(M,)`` in [0, 1].
        relative_cost: ``(M,)`` in units of the plain network.
        temperatures: E of them where the scores are heated.
    """

    criterion: str
    thresholds: CostArray
    enabled: BoolArray
    accuracy: CostArray
    relative_cost: CostArray
    temperatures: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.accuracy)

    def policy(self, index: int) -> Policy:
        """Return one of the M policies."""
        return Policy(
            self.criterion, self.thresholds[index], self.enabled[index], self.temperatures
        )


def front(table: ExitTable, criterion: str, temperatures: Sequence[float] | None = None) -> Front:
    """Return the accuracy–cost front over thresholds and switches of all early exits.

    Up to four early exits it is at least as good as every policy of an exhaustive grid of 50
    uniform or 50 quantile thresholds per exit; for more, as every single threshold for all exits.
    For a criterion that looks back at earlier exits it is a good front, not a proven one.

    Raises:
        UserError: a sample without a label, no samples, or a criterion the table cannot give.
    """
    if not len(table) or not table.labelled.all():
        raise UserError(
            "expected a `table` with a label for every sample to tune on, but got "
            f"{np.count_nonzero(table.labelled)} labels for {len(table)} samples."
        )
    never = Policy.never(criterion, table.num_exits)
    if temperatures is not None:
        never = replace(never, temperatures=tuple(temperatures))
    if CRITERIA[never.criterion].history and never.thresholds:
        return _front_with_history(table, never)
    problem = Problem.of(never.scores(table), table.right, table.stage_costs, table.head_costs)
    points = search(problem)
    return Front(
        criterion=never.criterion,
        thresholds=problem.thresholds(points.cuts),
        enabled=points.cuts < problem.off,
        accuracy=points.right / len(table),
        relative_cost=points.cost,
        temperatures=never.temperatures,
    )


def _front_with_history(table: ExitTable, never: Policy) -> Front:
    """Search once per choice of exits, since the scores depend on which exits were asked.

    Up to six early exits every choice, for more those that leave out the first few.
    """
    early = table.num_exits - 1
    candidates = [never]
    promise: list[tuple[float, float]] = []
    for enabled in _choices(early):
        on = np.flatnonzero(enabled)
        reached = np.append(np.cumsum(table.stage_costs)[on], table.stage_costs.sum())
        problem = Problem.of(
            replace(never, enabled=enabled).scores(table)[:, on],
            table.right[:, [*on, early]],
            np.diff(reached, prepend=0.0),
            table.head_costs[[*on, early]],
        )
        points = search(problem)
        thresholds = np.ones((len(points), early))
        thresholds[:, on] = problem.thresholds(points.cuts)
        # An exit where nobody leaves stays on here: later ones look back at it.
        candidates += [
            replace(never, thresholds=tuple(levels.tolist()), enabled=enabled)
            for levels in thresholds
        ]
        unused = (points.cuts == problem.off) @ problem.heads[:-1]
        promise += zip(points.right / len(table), points.cost + unused, strict=True)
    # What the search promised is not exact here: measure all that come near the best.
    promised_accuracy, promised_cost = np.array(promise).T
    near = np.append(0, 1 + _rising(promised_accuracy, promised_cost, _SLACK))
    candidates = [candidates[index] for index in near]
    accuracy, cost = measured(table, candidates)
    kept = _rising(accuracy, cost)
    return Front(
        criterion=never.criterion,
        thresholds=np.array([candidates[index].thresholds for index in kept]).reshape(-1, early),
        enabled=np.array([candidates[index].enabled for index in kept]).reshape(-1, early),
        accuracy=accuracy[kept],
        relative_cost=cost[kept],
        temperatures=never.temperatures,
    )


def _rising(accuracy: CostArray, cost: CostArray, slack: float = 0.0) -> IntArray:
    """Return, by rising cost, which are more accurate than all cheaper ones, less the slack."""
    order = np.lexsort((-accuracy, cost))
    best_so_far = np.maximum.accumulate(np.append(-1, accuracy[order]))[:-1]
    rising: IntArray = order[accuracy[order] > best_so_far - slack]
    return rising


def _choices(early: int) -> list[tuple[bool, ...]]:
    if early <= MOST_EXITS_IN_CHOICES:
        return [flags for flags in product((True, False), repeat=early) if any(flags)]
    return [(False,) * first + (True,) * (early - first) for first in range(early)]


def measured(table: ExitTable, policies: Sequence[Policy]) -> tuple[CostArray, CostArray]:
    """Return accuracy and mean relative cost, ``(M,)`` each, of M policies with one criterion."""
    scores: dict[tuple[bool, ...], FloatArray] = {}
    windows: dict[tuple[bool, ...], FloatArray | None] = {}
    history = CRITERIA[policies[0].criterion].history
    points = []
    for policy in policies:
        choice = policy.enabled if history else ()
        if choice not in scores:
            scores[choice] = policy.scores(table)
            windows[choice] = window_at_end(table, policy)
        right, window = table.right, windows[choice]
        if window is not None:
            level = np.float64(policy.thresholds[np.flatnonzero(policy.enabled)[-1]])
            right = right.copy()
            right[:, -1] = (window[:, 0] <= level) & (level < window[:, 1])
        points.append(
            accuracy_and_cost(
                scores[choice],
                right,
                table.relative_costs(policy.enabled),
                policy.thresholds,
                policy.enabled,
            )
        )
    accuracy, cost = np.array(points).T
    return accuracy, cost


def cheapest_within_drop(front: Front, reference_accuracy: float, max_drop: float) -> Policy:
    """Return the cheapest policy with accuracy >= ``reference_accuracy - max_drop``.

    Args:
        front: fitted on the calibration split.
        reference_accuracy: in [0, 1], on the same split.
        max_drop: in [0, 1]; 0.01 is one percentage point.

    Raises:
        UserError: an argument out of range, or no policy is that accurate; says what is reachable.
    """
    for name, value in (("reference_accuracy", reference_accuracy), ("max_drop", max_drop)):
        if not 0 <= value <= 1:
            raise UserError(
                f"expected `{name}` to be a fraction in [0, 1], but got {value:g}; "
                "one percentage point is 0.01."
            )
    wanted = reference_accuracy - max_drop
    good = np.flatnonzero(front.accuracy >= wanted - _TOLERANCE)
    if not len(good):
        best = front.accuracy[-1]
        raise UserError(
            f"expected a policy with an accuracy of {wanted:.4f} or more, but the best reachable "
            f"is {best:.4f} at relative cost {front.relative_cost[-1]:.3f}; allow a `max_drop` of "
            f"{reference_accuracy - best:.4f} or more."
        )
    return front.policy(int(good[0]))


def best_within_cost(front: Front, max_cost: float) -> Policy:
    """Return the most accurate policy with relative cost <= ``max_cost``.

    Raises:
        UserError: not a positive number, or no policy is that cheap; says what is reachable.
    """
    if not max_cost > 0:
        raise UserError(f"expected `max_cost` to be above 0, but got {max_cost:g}.")
    cheap = np.flatnonzero(front.relative_cost <= max_cost + _TOLERANCE)
    if not len(cheap):
        raise UserError(
            f"expected a policy with a relative cost of {max_cost:.3f} or less, but the cheapest "
            f"reachable costs {front.relative_cost[0]:.3f}; allow at least that."
        )
    return front.policy(int(cheap[-1]))


def accuracy_and_cost(
    scores: NDArray[np.floating],
    right: BoolArray,
    costs: CostArray,
    thresholds: Sequence[float] | CostArray,
    enabled: Sequence[bool] | BoolArray,
) -> tuple[float, float]:
    """Return the accuracy and the mean relative cost of one choice of thresholds, fast.

    Args:
        scores: ``(N, E-1)``.
        right: ``(N, E)``.
        costs: ``(E,)`` of leaving at each exit, `ExitTable.relative_costs` of ``enabled``.
        thresholds: E-1.
        enabled: E-1.
    """
    exits = route(scores, thresholds, enabled)
    left = np.bincount(exits, minlength=len(costs))
    return (
        float(right[np.arange(len(exits)), exits].mean()),
        float(left @ costs / len(exits)),
    )

"""The accuracy–cost front of a criterion, and the policies on it that meet a goal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import exits_taken, right_at_end
from core.exits.table import BoolArray, CostArray, ExitTable, FloatArray, IntArray
from core.foundation.errors import UserError
from core.tuning.search import Problem, rising, search

MOST_EXITS_IN_CHOICES = 6

_TOLERANCE = 1e-9
_SLACK = 0.0005


@dataclass(frozen=True, eq=False)
class Front:
    """M undominated policies, by rising cost and rising accuracy.

    Attributes:
        criterion: the name of the criterion they share.
        thresholds: ``(M, E-1)`` in [0, 1], halfway between two scores of the table.
        enabled: ``(M, E-1)``.
        accuracy: ``(M,)`` in [0, 1].
        relative_cost: ``(M,)`` in units of the plain network.
        temperatures: E temperatures that the policies share, or None.
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

    It holds the best policies of `core.tuning.search.search`. For a criterion that looks back at
    earlier exits, every subset of exits is searched by itself.

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
    problem = Problem.of(never.scores(table), table.right, table.costs)
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
    """Search once per subset of exits, since the scores depend on which exits are evaluated.

    Every subset of up to six early exits; of more, the subsets that leave out the first few.
    """
    early = table.num_exits - 1
    candidates = [never]
    expected: list[tuple[float, float]] = []
    for enabled in _choices(early):
        on = np.flatnonzero(enabled)
        used = [*on, early]
        scores = replace(never, enabled=enabled).scores(table)[:, on]
        problem = Problem.of(scores, table.right[:, used], table.costs.select(used))
        points = search(problem)
        thresholds = np.ones((len(points), early))
        thresholds[:, on] = problem.thresholds(points.cuts)
        # An exit where no sample leaves stays on here: later ones look back at it.
        candidates += [
            replace(never, thresholds=tuple(row.tolist()), enabled=enabled) for row in thresholds
        ]
        unused = (points.cuts == problem.off) @ problem.costs.heads[:-1]
        expected += zip(points.right / len(table), points.cost + unused, strict=True)
    # The search is not exact here: measure all candidates near the expected front.
    expected_accuracy, expected_cost = np.array(expected).T
    near = np.append(0, 1 + rising(expected_accuracy, expected_cost, _SLACK))
    candidates = [candidates[index] for index in near]
    accuracy, cost = measured(table, candidates)
    kept = rising(accuracy, cost)
    return Front(
        criterion=never.criterion,
        thresholds=np.array([candidates[index].thresholds for index in kept]).reshape(-1, early),
        enabled=np.array([candidates[index].enabled for index in kept]).reshape(-1, early),
        accuracy=accuracy[kept],
        relative_cost=cost[kept],
        temperatures=never.temperatures,
    )


def _choices(early: int) -> list[tuple[bool, ...]]:
    if early <= MOST_EXITS_IN_CHOICES:
        return [flags for flags in product((True, False), repeat=early) if any(flags)]
    return [(False,) * first + (True,) * (early - first) for first in range(early)]


def measured(table: ExitTable, policies: Sequence[Policy]) -> tuple[CostArray, CostArray]:
    """Return accuracy and mean relative cost, ``(M,)`` each, of M policies with one criterion."""
    points = [(right.mean(), cost.mean()) for right, cost in outcomes(table, policies)]
    accuracy, cost = np.array(points).T
    return accuracy, cost


def outcomes(table: ExitTable, policies: Sequence[Policy]) -> Iterator[tuple[BoolArray, CostArray]]:
    """Yield for each policy, all of one criterion, which samples are right and what they cost.

    Two arrays ``(N,)``: as `core.exits.routing.route` gives them, but quick for many policies.
    """
    scores: dict[tuple[bool, ...], FloatArray] = {}
    windows: dict[tuple[bool, ...], FloatArray | None] = {}
    history = CRITERIA[policies[0].criterion].history
    samples = np.arange(len(table))
    for policy in policies:
        choice = policy.enabled if history else ()
        if choice not in scores:
            scores[choice] = policy.scores(table)
            windows[choice] = right_at_end(table, policy)
        right, window = table.right, windows[choice]
        if window is not None:
            threshold = np.float64(policy.thresholds[np.flatnonzero(policy.enabled)[-1]])
            right = right.copy()
            right[:, -1] = (window[:, 0] <= threshold) & (threshold < window[:, 1])
        exits = exits_taken(scores[choice], policy.thresholds, policy.enabled)
        yield right[samples, exits], table.costs.at_exits(policy.enabled)[exits]


def replay(
    front: Front, table: ExitTable, most: int = 200
) -> tuple[CostArray, CostArray, IntArray]:
    """Return relative cost and accuracy on ``table`` of the front's policies, by rising cost.

    The third array holds the index of each policy in the front.

    Args:
        front: chosen on the calibration split.
        table: any split, with labels.
        most: number of policies to take of a longer front, evenly spread, both ends included.
    """
    chosen = np.unique(np.linspace(0, len(front) - 1, min(len(front), most)).round().astype(int))
    accuracy, cost = measured(table, [front.policy(index) for index in chosen])
    order = np.argsort(cost, kind="stable")
    return cost[order], accuracy[order], chosen[order]


def cheapest_within_drop(
    fronts: Sequence[Front], reference_accuracy: float, max_drop: float
) -> Policy:
    """Return the cheapest policy with accuracy >= ``reference_accuracy - max_drop``.

    Args:
        fronts: of one or several criteria, fitted on the calibration split.
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
    points = [
        (front.relative_cost[index], -front.accuracy[index], place, index)
        for place, front in enumerate(fronts)
        if (index := int(np.searchsorted(front.accuracy, wanted - _TOLERANCE))) < len(front)
    ]
    if not points:
        nearest = max(fronts, key=lambda front: front.accuracy[-1])
        best = nearest.accuracy[-1]
        raise UserError(
            f"expected a policy with an accuracy of {wanted:.4f} or more, but the best reachable "
            f"is {best:.4f} at relative cost {nearest.relative_cost[-1]:.3f}; allow a `max_drop` "
            f"of {reference_accuracy - best:.4f} or more."
        )
    *_, place, index = min(points)
    return fronts[place].policy(index)


def at_cost(front: Front, relative_cost: float) -> Policy:
    """Return the policy of a front whose relative cost is nearest, on the front's own split."""
    return front.policy(int(np.abs(front.relative_cost - relative_cost).argmin()))


def best_within_cost(fronts: Sequence[Front], max_cost: float) -> Policy:
    """Return the most accurate policy with relative cost <= ``max_cost``.

    Args:
        fronts: of one or several criteria, fitted on the calibration split.
        max_cost: above 0, in units of the plain network.

    Raises:
        UserError: not a positive number, or no policy is that cheap; says what is reachable.
    """
    if not max_cost > 0:
        raise UserError(f"expected `max_cost` to be above 0, but got {max_cost:g}.")
    points = [
        (-front.accuracy[index], front.relative_cost[index], place, index)
        for place, front in enumerate(fronts)
        if (index := int(np.searchsorted(front.relative_cost, max_cost + _TOLERANCE, "right")) - 1)
        >= 0
    ]
    if not points:
        cheapest = min(front.relative_cost[0] for front in fronts)
        raise UserError(
            f"expected a policy with a relative cost of {max_cost:.3f} or less, but the cheapest "
            f"reachable costs {cheapest:.3f}; allow at least that."
        )
    *_, place, index = min(points)
    return fronts[place].policy(index)

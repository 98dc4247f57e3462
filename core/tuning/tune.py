"""Choose a policy on a table, for one of four goals."""

from collections.abc import Mapping
from dataclasses import replace

from core.exits.criteria import available
from core.exits.policy import Policy
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.tuning.calibration import calibrated, temperatures_for
from core.tuning.front import best_within_cost, cheapest_within_drop, front
from core.tuning.guarantee import DELTA, control
from core.tuning.promise import CONFIDENCE, promise, reference_right
from core.tuning.validated import validated_thresholds


def tune(
    table: ExitTable,
    *,
    max_drop: float | None = None,
    max_cost: float | None = None,
    max_risk: float | None = None,
    min_accuracy: float | None = None,
    criterion: str | None = None,
    plain: ExitTable | None = None,
    confidence: float = CONFIDENCE,
    delta: float = DELTA,
    calibrate: bool = False,
) -> Policy:
    """Return the policy for one goal: give exactly one of the first four keyword arguments.

    Args:
        table: of the calibration split; never of the split that the policy is reported on.
        max_drop: largest accuracy loss against ``plain``; 0.01 is one percentage point. Gives the
            cheapest policy that is proven to lose no more, see `core.tuning.promise.promise`.
        max_cost: largest mean relative cost. Gives the most accurate such policy.
        max_risk: largest accuracy loss against the last exit that is to be *proven*. Gives the
            cheapest such policy, see `core.tuning.guarantee.control`.
        min_accuracy: accuracy, at each exit, of samples with a score near the threshold, see
            `core.tuning.validated.validated_thresholds`.
        criterion: a name in `core.exits.criteria.CRITERIA`. None: the first that the table has for
            ``max_drop``, as a promise needs one that was fixed beforehand; max probability for
            ``min_accuracy``; else the best that the table has.
        plain: the plain network's table of the same images, for ``max_drop``; None: losses count
            from the last exit.
        confidence: the probability with which ``max_drop`` has to hold on new images; 0: the
            optimistic choice, the cheapest policy of any criterion that loses no more on ``table``
            itself, and usually more on new images.
        delta: the probability of a wrong guarantee, for ``max_risk``.
        calibrate: whether the policy gets temperatures, see `core.tuning.calibration`.

    Raises:
        UserError: no goal or several; a goal out of range or out of reach (the message says what
            is reachable); a table without early exits or labels, or without the criterion.
    """
    goals = {
        "max_drop": max_drop,
        "max_cost": max_cost,
        "max_risk": max_risk,
        "min_accuracy": min_accuracy,
    }
    check_one_goal(goals)
    if table.num_exits == 1:
        raise UserError(
            "expected a `table` with early exits to tune, but it has the last one only."
        )
    temperatures = temperatures_for(table) if calibrate else None
    table = calibrated(table, temperatures)
    criteria = available(table) if criterion is None else (criterion,)
    if min_accuracy is not None:
        policy = validated_thresholds(table, criterion or "max_probability", min_accuracy)
    elif max_risk is not None:
        policy = control(table, criteria, max_risk, delta).policy
    elif max_cost is not None:
        policy = best_within_cost([front(table, name) for name in criteria], max_cost)
    else:
        assert max_drop is not None
        if confidence:
            policy = promise(table, criteria[0], max_drop, confidence, plain).policy
        else:
            right = table.right[:, -1] if plain is None else reference_right(table, plain)
            fronts = [front(table, name) for name in criteria]
            policy = cheapest_within_drop(fronts, float(right.mean()), max_drop)
    return replace(policy, temperatures=temperatures)


def check_one_goal(goals: Mapping[str, float | None]) -> None:
    """Raise `UserError` unless exactly one goal, by its name, is not None."""
    given = [name for name, value in goals.items() if value is not None]
    if len(given) != 1:
        raise UserError(
            f"expected exactly one of {', '.join(goals)}, but got "
            f"{' and '.join(given) or 'none'}: choose one goal."
        )

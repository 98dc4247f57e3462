"""Operating points of a model: named policies with their figures."""

from collections.abc import Mapping
from contextlib import suppress

from core.exits.criteria import available
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.hub.card import Card, OperatingPoint, Plain, SplitFigures
from core.tuning.front import best_within_cost, cheapest_within_drop, front

OPERATING_POINTS = {
    "lossless": 0.0,
    "careful": 0.003,
    "balanced": 0.005,
    "fast": 0.01,
    "fastest": 0.02,
}
"""Operating points by name: accuracy that each may lose against the plain network."""
BUDGETS = {"quarter": 0.25, "fifth": 0.2}
"""Operating points by name: relative cost that each may have."""
CHOSEN = "chosen"
"""Name of the operating point that the owner chose."""


def with_figures(card: Card, tables: Mapping[str, ExitTable], policy: Policy | None = None) -> Card:
    """Return the card with accuracies and operating points from the model's tables.

    Args:
        card: of the model.
        tables: by split, "calibration" and "test", with `as_stored` values; may be missing.
        policy: the model's default policy; None: that of one of the `operating_points`.
    """
    calibration, test = tables.get("calibration"), tables.get("test")
    points = () if calibration is None else operating_points(calibration, test, card.plain)
    if policy is not None:
        points = (_point(CHOSEN, policy, calibration, test), *points)
    accuracy = {
        split: tuple(table.accuracy_per_exit.tolist())
        for split, table in tables.items()
        if table.labelled.any()
    }
    return card.model_copy(update={"per_exit_accuracy": accuracy, "operating_points": points})


def operating_points(
    calibration: ExitTable, test: ExitTable | None, plain: Plain | None
) -> tuple[OperatingPoint, ...]:
    """Choose each operating point on ``calibration`` and report it on ``test``.

    A point of `OPERATING_POINTS` is the cheapest policy of any criterion that loses no more than
    allowed, against the plain network on the same split (without one, against the final exit); a
    point of `BUDGETS` is the most accurate policy that costs no more than allowed. Points that
    cannot be reached, or have the policy of an earlier point, are left out.
    """
    if calibration.num_exits == 1 or not calibration.labelled.any():
        return ()
    reference = calibration.accuracy_per_exit[-1]
    if plain is not None:
        reference = plain.calibration_accuracy
    fronts = [front(calibration, criterion) for criterion in available(calibration)]
    points: list[OperatingPoint] = []

    def add(name: str, policy: Policy, **allowed: float) -> None:
        if all(point.policy != policy.to_dict() for point in points):
            points.append(_point(name, policy, calibration, test, **allowed))

    for name, max_drop in OPERATING_POINTS.items():
        with suppress(UserError):  # out of reach
            policy = cheapest_within_drop(fronts, reference, max_drop)
            add(name, policy, max_drop=max_drop)
    for name, max_cost in BUDGETS.items():
        with suppress(UserError):
            add(name, best_within_cost(fronts, max_cost), max_cost=max_cost)
    return tuple(points)


def _point(
    name: str,
    policy: Policy,
    calibration: ExitTable | None,
    test: ExitTable | None,
    **allowed: float,
) -> OperatingPoint:
    return OperatingPoint(
        name=name,
        **allowed,
        policy=policy.to_dict(),
        calibration=_figures(calibration, policy),
        test=_figures(test, policy),
    )


def _figures(table: ExitTable | None, policy: Policy) -> SplitFigures | None:
    if table is None or not table.labelled.any():
        return None
    report = evaluate(table, policy)
    return SplitFigures(
        accuracy=report.accuracy,
        relative_cost=report.relative_cost,
        exit_share=report.exit_share,
    )

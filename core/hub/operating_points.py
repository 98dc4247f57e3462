"""Operating points of a model: named policies with their figures."""

from collections.abc import Mapping
from contextlib import suppress

from core.exits.criteria import available
from core.exits.policy import Policy
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.hub.card import Card, OperatingPoint, Promised
from core.hub.figures import split_figures
from core.hub.methods import own_criterion
from core.hub.premise import FEW
from core.hub.registry import plain_table
from core.tuning.front import best_within_cost, front
from core.tuning.path import PATH_PART
from core.tuning.promise import lay, promised, reference_right

OPERATING_POINTS = {
    "at most 0.3 points lost": 0.003,
    "at most 0.5 points lost": 0.005,
    "at most 1 point lost": 0.01,
    "at most 2 points lost": 0.02,
}
"""Operating points by name: accuracy that each may lose on new images."""
BUDGETS = {"within 25 % of the compute": 0.25, "within 20 % of the compute": 0.2}
"""Operating points by name: relative cost that each may have."""
LARGER_BUDGETS = {"within 65 % of the compute": 0.65, "within 50 % of the compute": 0.5}
"""Likewise, where calibration images are too `FEW` to promise a small drop."""
CHOSEN = "chosen"
"""Name of the operating point that the owner chose."""


def with_figures(
    card: Card,
    tables: Mapping[str, ExitTable],
    policy: Policy | None = None,
    plains: Mapping[str, ExitTable] | None = None,
) -> Card:
    """Return the card with accuracies and operating points from the model's tables.

    Args:
        card: of the model.
        tables: by split, "calibration" and "test", with `as_stored` values; may be missing.
        policy: the model's default policy; None: that of one of the `operating_points`.
        plains: by split, the plain network's table of the same images; None: as it is stored.
    """
    reference = {
        split: plain_table(card, split, table) if plains is None else plains.get(split)
        for split, table in tables.items()
    }
    points = operating_points(card, tables, reference)
    if policy is not None:
        chosen = OperatingPoint(name=CHOSEN, policy=policy.to_dict())
        points = (_measured(chosen, tables, reference), *points)
    accuracy = {
        split: tuple(table.accuracy_per_exit.tolist())
        for split, table in tables.items()
        if table.labelled.any()
    }
    return card.model_copy(update={"per_exit_accuracy": accuracy, "operating_points": points})


def refigured(card: Card, tables: Mapping[str, ExitTable]) -> Card:
    """Return a saved model's card with figures and operating points by today's rules.

    Args:
        card: as it was saved.
        tables: as they were saved with the model; without any, the card stays as it is.
    """
    if not tables:
        return card
    chosen = [point.policy for point in card.operating_points if point.name == CHOSEN]
    return with_figures(card, tables, Policy.from_dict(chosen[0]) if chosen else None)


def operating_points(
    card: Card, tables: Mapping[str, ExitTable], plains: Mapping[str, ExitTable | None]
) -> tuple[OperatingPoint, ...]:
    """Choose each operating point on calibration and measure it on both splits.

    A point of `OPERATING_POINTS` keeps its drop on new images by `core.tuning.promise`, with the
    criterion of the model's method; each point with its own confidence, not all together. A point
    of `BUDGETS`, or with few calibration images of `LARGER_BUDGETS`, is the most accurate policy of
    any criterion that costs no more than allowed.
    Points that cannot be reached, never leave early, or have the policy of an earlier point, are
    left out.

    Args:
        card: of the model.
        tables: as in `with_figures`.
        plains: by split, the plain network's table of the same images, from which losses count;
            None: they count from the last exit.
    """
    calibration = tables.get("calibration")
    if calibration is None or calibration.num_exits == 1 or not calibration.labelled.any():
        return ()
    criteria, plain = available(calibration), plains["calibration"]
    found: list[OperatingPoint] = []
    if len(calibration) >= PATH_PART:
        reference = None if plain is None else reference_right(calibration, plain)
        walks = lay(calibration, own_criterion(card.method, criteria), reference)
        for name, max_drop in OPERATING_POINTS.items():
            with suppress(UserError):  # out of reach
                promise = promised(walks, max_drop)
                policy, facts = promise.policy.to_dict(), Promised.of(promise)
                point = OperatingPoint(name=name, max_drop=max_drop, promise=facts, policy=policy)
                found.append(point)
    fronts = [front(calibration, criterion) for criterion in criteria]
    larger = LARGER_BUDGETS if len(calibration) < FEW else {}
    for name, max_cost in (larger | BUDGETS).items():
        with suppress(UserError):
            policy = best_within_cost(fronts, max_cost).to_dict()
            found.append(OperatingPoint(name=name, max_cost=max_cost, policy=policy))
    points: list[OperatingPoint] = []
    for point in found:
        new = all(point.policy != other.policy for other in points)
        if new and any(point.policy["enabled"]):
            points.append(_measured(point, tables, plains))
    return tuple(points)


def _measured(
    point: OperatingPoint,
    tables: Mapping[str, ExitTable],
    plains: Mapping[str, ExitTable | None],
) -> OperatingPoint:
    """Return the point with its figures on the labelled splits."""
    policy = Policy.from_dict(point.policy)
    figures = {
        split: split_figures(table, policy, plains[split], chose=split == "calibration")
        for split, table in tables.items()
        if table.labelled.any()
    }
    return point.model_copy(update=figures)

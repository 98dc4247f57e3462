"""How sure is sure enough, as one slider: policies of a model from quick to careful."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from app import resources
from core.exits.policy import Policy
from core.tuning.calibration import calibrated
from core.tuning.front import measured
from core.tuning.path import agreement_path, along

MOST = 60


@dataclass(frozen=True)
class Level:
    """A policy, and what it does on the split that a model's figures are of.

    Attributes:
        policy: at this position of the slider.
        accuracy: in [0, 1]; NaN where there are no tables.
        cost: mean relative cost, likewise.
    """

    policy: Policy
    accuracy: float = nan
    cost: float = nan


def levels(model: str, policy: Policy) -> tuple[Level, ...]:
    """Return levels with a policy's criterion and temperatures, the quickest first.

    Every image leaves later, or at the same exit, from one level to the next. (Not so where the
    criterion looks back at earlier exits.) A model without early exits has none.

    Raises:
        UserError: the model has no tables.
    """
    return _levels(model, policy.criterion, policy.temperatures)


def holding(known: Sequence[Level], model: str, policy: Policy) -> tuple[list[Level], int]:
    """Return levels of which one has a policy that may be another, by its cost, and which."""
    place = next((number for number, one in enumerate(known) if one.policy == policy), None)
    if place is not None:
        return list(known), place
    report = resources.report_on(model, resources.shown_split(model), policy)
    place = sum(one.cost < report.relative_cost for one in known)
    own = Level(policy, report.accuracy, report.relative_cost)
    return [*known[:place], own, *known[place:]], place


def at(known: Sequence[Level], percent: float) -> Policy:
    """Return the policy at a position of the slider: 0 % is the quickest, 100 % never leaves."""
    return known[round(percent / 100 * (len(known) - 1))].policy


@resources.of_model("Laying a path from quick to careful …")
def _levels(
    model: str, criterion: str, temperatures: tuple[float, ...] | None
) -> tuple[Level, ...]:
    if resources.card_of(model).num_exits == 1:
        return ()
    calibration = calibrated(resources.table_on(model, "calibration"), temperatures)
    if calibration.labelled.all():
        path = along(resources.front_of(model, criterion, temperatures), calibration)
    else:
        path = agreement_path(calibration, criterion)
    chosen = np.unique(np.linspace(0, len(path) - 1, MOST).round().astype(int))[::-1]
    policies = [replace(path.policy(index), temperatures=temperatures) for index in chosen]
    accuracies, costs = measured(resources.shown_table(model), policies)
    figures = zip(policies, accuracies.tolist(), costs.tolist(), strict=True)
    return tuple(Level(*one) for one in figures)

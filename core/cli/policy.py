"""Options that choose the policy a model runs with."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from core.exits.cost_controller import HeldCost
from core.exits.policy import Policy
from core.foundation.errors import UserError, nearest
from core.hub.card import Card
from core.hub.methods import own_criterion
from core.hub.receipt import policy_for
from core.hub.registry import front_of, shipped_table
from core.tuning.front import best_within_cost

T = TypeVar("T", int, float)

PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="A policy in JSON; by default the model's own."),
]
CriterionName = Annotated[
    str | None, typer.Option("--criterion", metavar="C", help="The score that thresholds compare.")
]
Thresholds = Annotated[
    str | None,
    typer.Option("--thresholds", metavar="T,T", help="One per early exit, from 0 to 1."),
]

HoldCost = Annotated[
    float | None,
    typer.Option(
        "--hold-cost",
        metavar="X",
        help="Hold this relative cost when the images drift: thresholds follow running quantiles "
        "of the scores, without labels. It holds the compute, not the accuracy.",
    ),
]


def choose_policy(
    card: Card, file: Path | None, criterion: str | None, thresholds: str | None
) -> Policy:
    """Return the policy of the options, by default the card's, checked against the model."""
    default = card.default_policy
    if file is not None:
        if criterion is not None or thresholds is not None:
            raise UserError(
                "expected --policy or --criterion with --thresholds, but got both: drop one."
            )
        policy = policy_for(file, card)
    elif thresholds is not None:
        values = comma_separated("--thresholds", thresholds, float, "numbers like 0.9,0.8")
        policy = Policy(criterion or default.criterion, values)
    elif criterion in (None, default.criterion):
        policy = default
    else:
        check_criterion(card, criterion)
        raise UserError(
            f"expected --thresholds with --criterion {criterion}, but got none: those of "
            f"{card.name} belong to {default.criterion}."
        )
    check_criterion(card, policy.criterion)
    policy.check(card.num_exits)
    return policy


def choose_held_cost(
    model: str,
    card: Card,
    file: Path | None,
    criterion: str | None,
    thresholds: str | None,
    hold_cost: float,
) -> HeldCost:
    """Return the cost to hold: that of the most accurate policy within ``hold_cost``."""
    if file is not None or thresholds is not None:
        raise UserError(
            "expected --hold-cost without --policy and --thresholds, as it sets the thresholds "
            "itself, but got both: drop one. --criterion chooses the score."
        )
    if card.num_exits == 1:
        raise UserError(
            f"expected a model with early exits to hold a cost with, but {card.name} has none."
        )
    chosen = criterion or own_criterion(card.method, card.criteria)
    check_criterion(card, chosen)
    calibration = shipped_table(model, "calibration")
    policy = best_within_cost([front_of(model, calibration, chosen)], hold_cost)
    return HeldCost.of(calibration, policy)


def check_criterion(card: Card, criterion: str) -> None:
    """Raise `UserError` unless the model can be used with the criterion."""
    if criterion not in card.criteria:
        raise UserError(
            f"expected the criterion to be one of {', '.join(card.criteria)}, which {card.name} "
            f"has, but got {criterion!r}.{nearest(criterion, card.criteria)}"
        )


def comma_separated(option: str, text: str, kind: Callable[[str], T], what: str) -> list[T]:
    """Return the values of an option like ``0.9,0.8``; none for an empty text."""
    try:
        return [kind(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise UserError(f"expected {option} to be {what}, but got {text!r}.") from None

"""The leaderboard of a data set: policies chosen on calibration, figures reported on test."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.hub.card import Card
from core.hub.methods import own_criterion
from core.hub.registry import card_of, front_of, shipped_models, shipped_table
from core.tuning.front import Front, best_within_cost, replay

SPLITS = ("calibration", "test")
BUDGETS = (0.25, 0.5, 0.6, 0.7, 0.8)
DROPS = (0.005, 0.01, 0.02)


@dataclass(frozen=True)
class Figures:
    """Figures on test of a policy that was chosen on calibration."""

    accuracy: float
    relative_cost: float


@dataclass(frozen=True)
class Entry:
    """A model with its method's criterion: policies chosen on calibration, figures on test.

    Attributes:
        name: of the model.
        method: a name in `core.hub.methods.METHODS`.
        criterion: of the method.
        plain: the plain network of the same backbone.
        plain_accuracy: its accuracy.
        cost: ``(M,)`` relative costs of the policies of the calibration front, rising.
        accuracy: ``(M,)`` their accuracies.
        within_budget: by relative cost allowed on calibration; None where out of reach.
        within_drop: by accuracy loss allowed on new images, against the plain network: the
            operating point that is promised to keep to it.
        policies: the policies of `within_budget`.
        exit_accuracy: ``(E,)`` accuracy if all samples left there.
        exit_agreement: ``(E,)`` share of the samples with the last exit's answer there.
        auroc: ``(E,)`` of the criterion for "this answer is right".
    """

    name: str
    method: str
    criterion: str
    plain: str
    plain_accuracy: float
    cost: tuple[float, ...]
    accuracy: tuple[float, ...]
    within_budget: dict[float, Figures | None]
    within_drop: dict[float, Figures | None]
    policies: dict[float, Policy | None]
    exit_accuracy: tuple[float, ...]
    exit_agreement: tuple[float, ...]
    auroc: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)


def leaderboard_entry(card: Card, calibration: Front, test: ExitTable) -> Entry:
    """Return the leaderboard entry of a model.

    Args:
        card: of an early-exit model.
        calibration: the front of its method's criterion on that split.
        test: the table of that split.

    Raises:
        UserError: a table without labels.
    """
    criterion, fronts = calibration.criterion, [calibration]
    cost, accuracy, _ = replay(calibration, test)
    policies = {budget: _reached(best_within_cost, fronts, budget) for budget in BUDGETS}
    report = evaluate(test, Policy(criterion, (1.0,) * (test.num_exits - 1)))  # all exits evaluated
    return Entry(
        name=card.name,
        method=card.method,
        criterion=criterion,
        plain=card.name if card.plain is None else card.plain.name,
        plain_accuracy=card.reference_accuracy("test"),
        cost=tuple(cost.tolist()),
        accuracy=tuple(accuracy.tolist()),
        within_budget={budget: _on(test, policy) for budget, policy in policies.items()},
        within_drop={drop: _promised(card, drop) for drop in DROPS},
        policies=policies,
        exit_accuracy=report.per_exit_accuracy,
        exit_agreement=report.per_exit_agreement,
        auroc=report.auroc,
    )


def early_exit_cards(dataset: str) -> list[Card]:
    """Return the cards of the shipped early-exit models for a data set.

    Raises:
        UserError: there is none; names the data sets with early-exit models.
    """
    cards = [card for card in map(card_of, shipped_models()) if card.num_exits > 1]
    of_dataset = [card for card in cards if card.dataset == dataset]
    if not of_dataset:
        known = ", ".join(sorted({card.dataset for card in cards}))
        raise UserError(
            f"expected a data set with early-exit models ({known}), but got {dataset!r}."
        )
    return of_dataset


def leaderboard(cards: Sequence[Card]) -> list[Entry]:
    """Return the entries of shipped models."""
    entries = []
    for card in cards:
        calibration, test = (shipped_table(card.name, split) for split in SPLITS)
        criterion = own_criterion(card.method, card.criteria)
        entries.append(leaderboard_entry(card, front_of(card.name, calibration, criterion), test))
    return entries


def _reached(choose: Callable[..., Policy], *goal: Any) -> Policy | None:
    try:
        return choose(*goal)
    except UserError:  # out of reach
        return None


def _promised(card: Card, drop: float) -> Figures | None:
    point = card.promised_point(drop)
    if point is None or point.test is None:
        return None
    return Figures(point.test.accuracy, point.test.relative_cost)


def _on(table: ExitTable, policy: Policy | None) -> Figures | None:
    if policy is None:
        return None
    report = evaluate(table, policy)
    return Figures(report.accuracy, report.relative_cost)

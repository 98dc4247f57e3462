from pathlib import Path

import pytest

from core.cli.methods import BEGIN, END, methods_text
from core.exits.report import evaluate
from core.foundation.errors import UserError
from core.hub.leaderboard import BUDGETS, DROPS, early_exit_cards, leaderboard, leaderboard_entry
from core.hub.methods import METHODS, own_criterion
from core.hub.registry import card_of, front_of, shipped_models, shipped_table

CARDS = [card_of(name) for name in shipped_models()]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_model_in_the_box_was_made_by_a_known_method(card: object) -> None:
    assert card.method in METHODS  # type: ignore[attr-defined]
    assert own_criterion(card.method, card.criteria) == METHODS[card.method].criterion  # type: ignore[attr-defined]


def test_a_method_from_elsewhere_decides_by_the_first_score_there_is() -> None:
    assert own_criterion("mine", ("margin", "entropy")) == "margin"
    assert own_criterion("eenet", ("margin", "entropy")) == "margin"


def test_an_entry_reports_on_test_what_was_chosen_on_calibration() -> None:
    card = card_of("eenet8-mnist")
    calibration, test = (shipped_table(card.name, split) for split in ("calibration", "test"))
    found = leaderboard_entry(card, front_of(card.name, calibration, "confidence"), test)
    assert found.plain == "resnet8-mnist"
    assert found.exit_accuracy == card.per_exit_accuracy["test"]
    for budget in BUDGETS:
        policy, figures = found.policies[budget], found.within_budget[budget]
        assert policy is not None
        assert figures is not None
        assert evaluate(calibration, policy).relative_cost <= budget + 1e-9
        report = evaluate(test, policy)
        assert (figures.accuracy, figures.relative_cost) == (report.accuracy, report.relative_cost)
    costs = [figures.relative_cost for drop in DROPS if (figures := found.within_drop[drop])]
    assert costs == sorted(costs, reverse=True)
    assert list(found.cost) == sorted(found.cost)


def test_they_are_the_early_exit_models_of_a_data_set() -> None:
    names = {card.name for card in early_exit_cards("mnist")}
    assert {"eenet8-mnist", "eenet20-mnist"} <= names
    assert "resnet8-mnist" not in names
    with pytest.raises(UserError, match=r"\(cifar10, mnist, photos, tiny.*\), but got 'svhn'"):
        early_exit_cards("svhn")


def test_the_docs_show_what_the_models_say() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "methods.md").read_text("utf-8")
    shown = text.split(BEGIN, 1)[1].split(END, 1)[0].strip().splitlines()
    cards = early_exit_cards("cifar10")
    expected = methods_text(cards, leaderboard(cards), {}).splitlines()
    assert len(shown) == len(expected)
    for one, other in zip(shown, expected, strict=True):
        # The first table ends with a measured time, which differs from day to day.
        assert one.startswith(other.removesuffix("|")), "run `core methods --time --update`"

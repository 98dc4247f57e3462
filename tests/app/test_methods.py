"""What the explorer shows of the methods: classes left, surety, and all of them on one chart."""

import numpy as np
import pytest

from app.charts.plotly import SERIES
from core.exits.policy import Policy
from core.exits.report import classes_left
from core.exits.routing import route
from core.hub.leaderboard import BUDGETS, early_exit_cards, leaderboard_entry
from core.hub.methods import own_criterion
from core.hub.registry import card_of, shipped_models, shipped_table
from core.tuning.front import front
from core.tuning.validated import validated_thresholds
from tests.app.pages import button, errors, html, opened, opened_page, opened_thresholds, policy

MODEL = "eenet8-mnist"
LOOKING_BACK = f"model={MODEL}&criterion=exclusion&thresholds=0.99,0.99"


def picture(page: str) -> str:
    return page.split("ee-table ee-alive", 1)[1].split("</table>", 1)[0]


def test_the_playground_shows_which_classes_each_exit_rules_out() -> None:
    app = opened(LOOKING_BACK)
    assert errors(app) == []
    shown = picture(html(app))
    assert shown.count('<th scope="row">') == 10
    # Somebody is always left: at least the likeliest class of each of the two early exits.
    assert 2 <= shown.count("ee-in") <= 20
    assert shown.count("ee-in") + shown.count("ee-out") == 20


@pytest.mark.parametrize("query", [f"model={MODEL}&criterion=margin", "model=resnet8-mnist"])
def test_other_scores_rule_nothing_out(query: str) -> None:
    app = opened(query)
    assert errors(app) == []
    assert "ee-table ee-alive" not in html(app)


def test_the_thresholds_page_counts_the_classes_that_are_left() -> None:
    app = opened_thresholds(LOOKING_BACK)
    assert errors(app) == []
    table = shipped_table(MODEL, "test")
    rule = Policy("exclusion", (0.99, 0.99))
    found = classes_left(table, rule)
    assert found is not None
    shares, counts = found
    assert shares[0].sum() == pytest.approx(counts[0])
    shown = picture(html(app))
    for count in counts:
        assert f"<td>{count:.2f}</td>" in shown
    inside = route(table, rule).exits >= 1  # who is still there has two or more classes left
    assert np.count_nonzero(inside) > 0
    assert counts[0] > 1


def test_surety_finds_the_thresholds_of_validated_accuracy() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=entropy")
    app.segmented_control(key="goal").set_value("validated").run()
    app.slider(key="validated").set_value(99.5).run()
    button(app, "Find").click().run()
    assert errors(app) == []
    expected = validated_thresholds(shipped_table(MODEL, "calibration"), "entropy", 0.995)
    assert policy(app).thresholds == pytest.approx(expected.thresholds, abs=1e-5)


def test_surety_of_a_score_that_looks_back_is_a_sentence() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=patience")
    app.segmented_control(key="goal").set_value("validated").run()
    button(app, "Find").click().run()
    assert any("looks back" in error for error in errors(app))


def test_every_method_stands_on_one_chart() -> None:
    app = opened_page("compare", f"model={MODEL}")
    charts = len(app.get("plotly_chart"))
    button(app, "Compare ").click().run()
    assert errors(app) == []
    assert len(app.get("plotly_chart")) == charts + 1
    table = html(app).split("ee-methods", 1)[1].split("</table>", 1)[0]
    for card in early_exit_cards("mnist"):
        assert card.name in table
    card = card_of(MODEL)
    calibration, test = (shipped_table(MODEL, split) for split in ("calibration", "test"))
    found = leaderboard_entry(card, front(calibration, "confidence"), test)
    for budget in BUDGETS:
        figures = found.within_budget[budget]
        assert figures is not None
        assert f"{100 * figures.accuracy:.1f}\N{NO-BREAK SPACE}%" in table


@pytest.mark.parametrize("criterion", card_of(MODEL).criteria)
@pytest.mark.parametrize("page", ["playground", "thresholds", "samples"])
def test_every_score_opens(page: str, criterion: str) -> None:
    assert errors(opened_page(page, f"model={MODEL}&criterion={criterion}")) == []


@pytest.mark.parametrize("name", [name for name in shipped_models() if card_of(name).num_exits > 1])
@pytest.mark.parametrize(
    "page", ["playground", "thresholds", "samples", "compare", "learn", "model", "edge_cloud"]
)
def test_every_model_opens_on_every_page_with_its_own_score(page: str, name: str) -> None:
    card = card_of(name)
    criterion = own_criterion(card.method, card.criteria)
    assert errors(opened_page(page, f"model={name}&criterion={criterion}")) == []


def test_no_two_methods_of_a_chart_look_alike() -> None:
    assert len({symbol for _, _, symbol in SERIES}) == len(SERIES)
    for dataset in {card.dataset for card in map(card_of, shipped_models()) if card.num_exits > 1}:
        assert len(early_exit_cards(dataset)) <= len(SERIES)

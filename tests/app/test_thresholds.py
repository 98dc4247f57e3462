import json

import pytest

from core.exits.policy import Policy
from core.exits.report import evaluate
from core.hub.registry import card_of, shipped_models, shipped_table
from core.tuning.front import best_within_cost, cheapest_within_drop, front
from core.tuning.guarantee import control
from tests.app.pages import errors, html, link, opened_thresholds, percent, policy, reading

MODEL = "eenet8-mnist"
EARLY = [name for name in shipped_models() if card_of(name).num_exits > 1]


@pytest.mark.parametrize("name", EARLY)
def test_every_model_shows_its_figures_on_test(name: str) -> None:
    app = opened_thresholds(f"model={name}")
    assert errors(app) == []
    card = card_of(name)
    report = evaluate(shipped_table(name, "test"), card.default_policy)
    assert reading(app, "Accuracy") == percent(report.accuracy, 2)
    assert percent(report.relative_cost, 1) in html(app)
    assert html(app).count('<figure class="ee-histogram">') == card.num_exits - 1
    for share in report.exit_share:
        assert f"<b>{percent(share, 1)}</b>" in html(app)


def test_the_figures_are_those_of_the_thresholds() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=entropy&thresholds=0.9,0")
    report = evaluate(shipped_table(MODEL, "test"), Policy("entropy", [0.9, 0.0]))
    assert reading(app, "Accuracy") == percent(report.accuracy, 2)
    assert reading(app, "Rescued") == f"{report.rescued:,}"
    assert reading(app, "Ruined") == f"{report.ruined:,}"


def test_finding_thresholds_within_a_drop() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=max_probability&thresholds=1,1")
    app.slider(key="drop").set_value(0.3)
    app.button[0].click().run()
    assert errors(app) == []
    calibration = shipped_table(MODEL, "calibration")
    reference = card_of(MODEL).reference_accuracy("calibration")
    expected = cheapest_within_drop([front(calibration, "max_probability")], reference, 0.003)
    assert policy(app).thresholds == expected.thresholds
    assert policy(app).enabled == expected.enabled


def test_finding_thresholds_within_a_budget() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=margin&thresholds=1,1")
    app.segmented_control(key="goal").set_value("spend at most").run()
    app.slider(key="budget").set_value(9)
    app.button[0].click().run()
    assert errors(app) == []
    expected = best_within_cost([front(shipped_table(MODEL, "calibration"), "margin")], 0.09)
    assert policy(app).thresholds == expected.thresholds


def test_a_guarantee_is_put_into_words_and_goes_when_thresholds_move() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=margin&thresholds=1,1")
    app.segmented_control(key="goal").set_value("guarantee").run()
    app.slider(key="epsilon").set_value(1.0)
    app.button[0].click().run()
    assert errors(app) == []
    found = control(shipped_table(MODEL, "calibration"), "margin", 0.01, 0.1)
    assert policy(app).thresholds == found.policy.thresholds
    assert app.success[0].value == found.guarantee
    app.selectbox(key="criterion").set_value("entropy").run()
    assert not app.success


def test_a_guarantee_that_takes_more_samples_says_how_many() -> None:
    app = opened_thresholds(f"model={MODEL}")
    app.segmented_control(key="goal").set_value("guarantee").run()
    app.slider(key="epsilon").set_value(0.1)
    app.slider(key="certainty").set_value(99)
    app.selectbox(key="risk").set_value("brier_gap")
    app.button[0].click().run()
    assert len(errors(app)) == 1
    assert "samples" in errors(app)[0]


def test_a_goal_out_of_reach_says_what_can_be_reached() -> None:
    app = opened_thresholds(f"model={MODEL}")
    before = link(app)
    app.segmented_control(key="goal").set_value("spend at most").run()
    app.slider(key="budget").set_value(1)
    app.button[0].click().run()
    assert len(errors(app)) == 1
    assert "cheapest" in errors(app)[0]
    assert link(app) == before


def test_a_policy_comes_back_from_a_file() -> None:
    app = opened_thresholds(f"model={MODEL}")
    saved = Policy("entropy", [0.3, 0.4], [True, False])
    content = json.dumps(saved.to_dict()).encode()
    app.file_uploader[0].upload("mine.json", content, "application/json")
    app.run()
    assert errors(app) == []
    assert policy(app) == saved
    app.selectbox(key="criterion").set_value("margin").run()
    assert policy(app).criterion == "margin"  # the file does not win over later choices


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        b'{"criterion": "tarot", "thresholds": [0.5, 0.5]}',
        b'{"criterion": "entropy", "thresholds": [0.5]}',
        b'{"criterion": "entropy", "thresholds": [0.5, NaN]}',
        b'{"criterion": "entropy", "thresholds": [0.5, 2]}',
    ],
)
def test_a_bad_policy_file_is_a_sentence_and_changes_nothing(content: bytes) -> None:
    app = opened_thresholds(f"model={MODEL}")
    before = link(app)
    app.file_uploader[0].upload("bad.json", content, "application/json")
    app.run()
    assert len(errors(app)) == 1
    assert "expected" in errors(app)[0]
    assert link(app) == before


def test_a_plain_network_has_nothing_to_tune() -> None:
    app = opened_thresholds("model=resnet8-mnist")
    assert errors(app) == []
    assert not app.slider
    assert "yardstick" in app.info[0].value


def test_the_link_is_a_whole_address() -> None:
    app = opened_thresholds(f"model={MODEL}&thresholds=0.25,0.5&criterion=margin")
    assert "thresholds=0.25,0.5" in app.code[0].value
    assert "criterion=margin" in app.code[0].value

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from app import text
from core.exits.certainty import certainty
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.table_file import save_tables
from core.hub.figures import split_figures
from core.hub.methods import own_criterion
from core.hub.receipt import Goal, Receipt
from core.hub.registry import (
    FRONTS,
    TABLE,
    card_of,
    model_folder,
    plain_table,
    shipped_models,
    shipped_table,
    tables_of,
)
from core.tuning.calibration import probability_quality, temperatures_for
from core.tuning.front import at_cost, best_within_cost, cheapest_within_drop, front
from core.tuning.guarantee import control
from core.tuning.how_many import how_many
from core.tuning.promise import lay, promise, reference_right
from core.tuning.selective import SELECTIVE, control_selective
from tests.app.pages import (
    button,
    components,
    errors,
    html,
    link,
    opened_page,
    opened_thresholds,
    percent,
    policy,
    reading,
    receipt,
)

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


def test_a_drop_is_promised_with_what_was_fixed_beforehand() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=max_probability&thresholds=1,1")
    app.slider(key="drop").set_value(0.3)
    button(app, "Find").click().run()
    assert errors(app) == []
    card, calibration = card_of(MODEL), shipped_table(MODEL, "calibration")
    own = own_criterion(card.method, card.criteria)  # fixed by the method, not by the page's choice
    found = promise(calibration, own, 0.003, 0.9, plain_table(card, "calibration", calibration))
    assert policy(app) == found.policy
    said = receipt(app)
    assert said["Guaranteed"] == found.guarantee
    assert said["Wanted"] == (
        "lose at most 0.3 percentage points of accuracy against the plain network, proven with 90 %"
    )
    figures = split_figures(
        shipped_table(MODEL, "test"),
        found.policy,
        plain_table(card, "test", shipped_table(MODEL, "test")),
    )
    assert figures.difference is not None
    assert figures.difference_interval is not None
    assert f"{100 * figures.accuracy:.2f} % right" in said["On test"]
    assert f"{100 * figures.difference_interval[0]:+.2f} to".replace("-", "−") in said["On test"]
    assert said["Kept on test"] == ("✓ yes" if figures.difference >= -0.003 else "✗ no")
    premise = app.caption[0].value
    assert "Fixed beforehand: the score (Learned confidence), the target" in premise
    assert "the same again takes nothing" in premise
    button(app, "Find").click().run()
    assert "the same again takes nothing" in app.caption[0].value
    app.slider(key="drop").set_value(0.4)
    button(app, "Find").click().run()
    assert "one of 2 different guarantees" in app.caption[0].value
    assert "with 80" in app.caption[0].value  # 1 - 2 · 10 %


def test_the_score_can_be_chosen_on_images_that_prove_nothing() -> None:
    app = opened_thresholds(f"model={MODEL}")
    app.selectbox(key="drop-score").set_value("best")
    button(app, "Find").click().run()
    assert errors(app) == []
    assert "1,250 calibration images that prove nothing" in app.caption[0].value


def test_an_optimistic_choice_promises_nothing() -> None:
    app = opened_thresholds(f"model={MODEL}")
    app.slider(key="drop").set_value(0.3)
    app.select_slider(key="confidence").set_value(0)
    button(app, "Find").click().run()
    assert errors(app) == []
    calibration = shipped_table(MODEL, "calibration")
    reference = card_of(MODEL).reference_accuracy("calibration")
    expected = cheapest_within_drop([front(calibration, "confidence")], reference, 0.003)
    assert policy(app) == expected
    assert receipt(app)["Guaranteed"] == "nothing: new images may do worse"


def test_figures_carry_their_ranges() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=entropy&thresholds=0.9,0.5")
    test = shipped_table(MODEL, "test")
    plain = plain_table(card_of(MODEL), "test", test)
    assert plain is not None
    sure = certainty(test, Policy("entropy", [0.9, 0.5]), reference_right(test, plain))
    assert sure is not None
    assert f'class="ee-range">{text.interval(sure.accuracy, 2)}<' in html(app)
    assert reading(app, "Difference") == text.apart(sure.difference)
    assert f'class="ee-range">{text.apart_interval(sure.difference_interval)}<' in html(app)
    low, high = sure.relative_cost
    assert f'class="ee-range">{text.interval((1 - high, 1 - low))}<' in html(app)


def test_another_criterion_takes_thresholds_that_cost_the_same() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=margin&thresholds=0.7,0.7")
    calibration = shipped_table(MODEL, "calibration")
    cost = evaluate(calibration, Policy("margin", [0.7, 0.7])).relative_cost
    app.selectbox(key="criterion").set_value("entropy").run()
    assert errors(app) == []
    assert policy(app) == at_cost(front(calibration, "entropy"), cost)
    assert evaluate(calibration, policy(app)).relative_cost == pytest.approx(cost, abs=0.01)


def test_thresholds_stay_where_no_labels_can_choose_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "unlabelled"
    copytree(model_folder(MODEL), folder)
    (folder / FRONTS).unlink()
    tables = {
        split: replace(table, labels=np.full(len(table), -1)) if split == "calibration" else table
        for split, table in tables_of(folder).items()
    }
    save_tables(folder / TABLE, tables)
    monkeypatch.setenv("EENET_MODELS", str(tmp_path))
    app = opened_page("samples", "model=unlabelled&criterion=margin&thresholds=0.7,0.8")
    app.selectbox(key="criterion").set_value("entropy").run()
    assert errors(app) == []
    assert link(app)["thresholds"] == "0.7,0.8"
    assert any("stayed as they were" in caption.value for caption in app.caption)


def test_calibrated_probabilities() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=max_probability&thresholds=0.9,0.9")
    app.toggle(key="calibrate").set_value(True).run()
    assert errors(app) == []
    temperatures = temperatures_for(shipped_table(MODEL, "calibration"))
    assert link(app)["temperatures"] == ",".join(map(repr, temperatures))
    test = shipped_table(MODEL, "test")
    now = replace(policy(app), temperatures=temperatures)
    assert reading(app, "Accuracy") == percent(evaluate(test, now).accuracy, 2)
    for quality in (probability_quality(test), probability_quality(test, temperatures)):
        for loss, error in zip(
            quality.negative_log_likelihood, quality.calibration_error, strict=True
        ):
            assert text.three(loss) in html(app)
            assert text.percent(error, 2) in html(app)
    button(app, "Find").click().run()
    assert errors(app) == []
    assert "temperatures" in link(app)
    app.toggle(key="calibrate").set_value(False).run()
    assert "temperatures" not in link(app)


def test_temperatures_are_refused_where_only_top_classes_are_kept() -> None:
    app = opened_thresholds("model=eenet-airbench-large-tiny")
    app.toggle(key="calibrate").set_value(True).run()
    assert len(errors(app)) == 1
    assert "keeps the top 8 of 200" in errors(app)[0]
    assert "temperatures" not in link(app)


def test_finding_thresholds_within_a_budget() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=margin&thresholds=1,1")
    app.segmented_control(key="goal").set_value("spend at most").run()
    app.slider(key="budget").set_value(9)
    button(app, "Find").click().run()
    assert errors(app) == []
    expected = best_within_cost([front(shipped_table(MODEL, "calibration"), "margin")], 0.09)
    assert policy(app).thresholds == expected.thresholds


def test_a_guarantee_is_put_into_words_and_goes_when_thresholds_move() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=margin&thresholds=1,1")
    app.segmented_control(key="goal").set_value("guarantee").run()
    app.slider(key="epsilon").set_value(1.0)
    app.selectbox(key="guarantee-score").set_value("margin")
    button(app, "Find").click().run()
    assert errors(app) == []
    found = control(shipped_table(MODEL, "calibration"), "margin", 0.01, 0.1)
    assert policy(app).thresholds == found.policy.thresholds
    assert receipt(app)["Guaranteed"] == found.guarantee
    assert receipt(app)["Kept on test"] == "✓ yes"
    app.selectbox(key="criterion").set_value("entropy").run()
    assert receipt(app) == {}


def test_a_guarantee_that_takes_more_samples_says_how_many() -> None:
    app = opened_thresholds(f"model={MODEL}")
    app.segmented_control(key="goal").set_value("guarantee").run()
    app.slider(key="epsilon").set_value(0.1)
    app.slider(key="certainty").set_value(99)
    app.selectbox(key="risk").set_value("brier_gap")
    button(app, "Find").click().run()
    assert len(errors(app)) == 1
    assert "samples" in errors(app)[0]


def test_a_goal_out_of_reach_says_what_can_be_reached() -> None:
    app = opened_thresholds(f"model={MODEL}")
    before = link(app)
    app.segmented_control(key="goal").set_value("spend at most").run()
    app.slider(key="budget").set_value(1)
    button(app, "Find").click().run()
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
    assert "This needs" in errors(app)[0]
    assert link(app) == before


def test_a_plain_network_has_nothing_to_tune() -> None:
    app = opened_thresholds("model=resnet8-mnist")
    assert errors(app) == []
    assert not app.slider
    assert "yardstick" in app.info[0].value


def test_a_link_to_copy_has_all_that_decides() -> None:
    app = opened_thresholds(f"model={MODEL}&thresholds=0.25,0.5&criterion=margin")
    (copied,) = [data["query"] for data in components(app) if "query" in data]
    assert "thresholds=0.25,0.5" in copied
    assert "criterion=margin" in copied


def test_how_many_images_a_promise_takes() -> None:
    app = opened_thresholds(f"model={MODEL}")
    app.slider(key="drop").set_value(0.4)
    button(app, "How many").click().run()
    assert errors(app) == []
    card, calibration = card_of(MODEL), shipped_table(MODEL, "calibration")
    plain = plain_table(card, "calibration", calibration)
    assert plain is not None
    walks = lay(calibration, "confidence", reference_right(calibration, plain))
    found = how_many(walks, 0.004, 0.9, draws=100)
    assert found.sentence in [one.value for one in app.markdown]


def saved(model: str) -> bytes:
    card, tables = card_of(model), tables_of(model)
    made = Receipt.of(card, card.default_policy, Goal("max_cost", 0.5), "", tables, {})
    return json.dumps(made.to_dict()).encode()


def test_a_saved_policy_comes_back_with_its_model() -> None:
    app = opened_thresholds(f"model={MODEL}&criterion=margin&thresholds=0.5,0.5")
    app.file_uploader[0].upload("mine.json", saved(MODEL), "application/json").run()
    assert errors(app) == []
    assert policy(app) == card_of(MODEL).default_policy


def test_thresholds_of_another_model_are_refused_unless_one_insists() -> None:
    other = next(name for name in EARLY if name != MODEL and card_of(name).num_exits == 3)
    app = opened_thresholds(f"model={MODEL}&criterion=margin&thresholds=0.5,0.5")
    before = link(app)
    app.file_uploader[0].upload("other.json", saved(other), "application/json").run()
    (mistake,) = errors(app)
    assert f"is for {other} with weights {card_of(other).sha256[:12]}" in mistake
    assert link(app) == before
    app.toggle(key="insists").set_value(True).run()
    assert errors(app) == []
    assert policy(app) == card_of(other).default_policy


def test_errors_among_those_that_leave_can_be_promised() -> None:
    app = opened_thresholds(f"model={MODEL}")
    app.segmented_control(key="goal").set_value("guarantee").run()
    app.selectbox(key="risk").set_value(SELECTIVE).run()
    app.slider(key="epsilon").set_value(2.0)
    button(app, "Find").click().run()
    assert errors(app) == []
    found = control_selective(shipped_table(MODEL, "calibration"), "confidence", 0.02, 1 - 0.9)
    assert policy(app) == found.policy
    assert receipt(app)["Guaranteed"] == found.guarantee

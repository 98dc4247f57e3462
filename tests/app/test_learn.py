import pytest

from app import text
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.hub.registry import card_of, shipped_models, shipped_table
from core.tuning.selective import control_selective
from tests.app.pages import errors, html, link, maps, opened_page, reading

MODEL = "eenet8-mnist"
ONE_OF_EACH_DATASET = list(
    {
        card_of(name).dataset: name for name in shipped_models() if card_of(name).num_exits > 1
    }.values()
)
STEPS = range(1, 7)


@pytest.mark.parametrize("name", ONE_OF_EACH_DATASET)
@pytest.mark.parametrize("step", STEPS)
def test_every_step(name: str, step: int) -> None:
    app = opened_page("learn", f"model={name}&step={step}")
    assert errors(app) == []
    assert f"<h2>{step}. " in html(app)
    assert "Try it." in html(app)
    assert link(app).get("step", "1") == str(step)


@pytest.mark.parametrize(
    ("step", "shown"), [("0", 1), ("7", 6), ("x", 1), ("-1", 1), ("²", 1), ("99999999999", 1)]
)
def test_a_strange_step_in_a_link(step: str, shown: int) -> None:
    app = opened_page("learn", f"model={MODEL}&step={step}")
    assert errors(app) == []
    assert f"<h2>{shown}. " in html(app)


def test_walking_through() -> None:
    app = opened_page("learn", f"model={MODEL}")
    assert app.button(key="learn-back").disabled
    for step in STEPS[1:]:
        app.button(key="learn-next").click().run()
        assert errors(app) == []
        assert f"<h2>{step}. " in html(app)
    assert app.button(key="learn-next").disabled
    app.button(key="learn-back").click().run()
    assert "<h2>5. " in html(app)


def test_exits_that_disagree_can_be_looked_for() -> None:
    app = opened_page("learn", f"model={MODEL}&step=3")
    app.button[0].click().run()
    assert errors(app) == []
    assert len({one["answer"] for one in maps(app)["maps"]}) > 1


def test_naive_guarantees_break_and_proven_ones_hold() -> None:
    app = opened_page("learn", "model=eenet20-cifar10&step=6&criterion=max_probability")
    app.slider(key="learn-epsilon").set_value(2.0)
    app.select_slider(key="learn-samples").set_value(200).run()
    assert errors(app) == []
    naive = reading(app, "Looks good on calibration")
    proven = reading(app, "Proven on calibration")
    assert float(proven.split("\N{NO-BREAK SPACE}")[0]) <= 10
    assert float(naive.split("\N{NO-BREAK SPACE}")[0]) > float(
        proven.split("\N{NO-BREAK SPACE}")[0]
    )


def test_a_plain_network_teaches_nothing() -> None:
    app = opened_page("learn", "model=resnet8-mnist")
    assert errors(app) == []
    assert "no early exits" in app.info[0].value


def test_the_last_step_shows_the_errors_of_those_that_leave() -> None:
    app = opened_page("learn", "model=eenet8-mnist&step=6")
    assert errors(app) == []
    shown = html(app).split("errors of those that leave", 1)[1]
    proven = control_selective(shipped_table("eenet8-mnist", "calibration"), "confidence", 0.01)
    report = evaluate(shipped_table("eenet8-mnist", "test"), proven.policy)
    assert proven.leaves_early
    for share, accuracy in zip(report.exit_share[:-1], report.accuracy_of_left, strict=False):
        assert text.percent(share) in shown
        assert text.percent(1 - accuracy, 2) in shown


def test_the_line_is_to_be_beaten_below_a_limit() -> None:
    dear = opened_page("learn", f"model={MODEL}&step=5&thresholds=1,1")
    assert errors(dear) == []
    assert reading(dear, "Your best").startswith(text.MISSING)
    cheap = opened_page("learn", f"model={MODEL}&step=5&thresholds=0,0")
    report = evaluate(shipped_table(MODEL, "test"), Policy("confidence", (0, 0)))
    assert reading(cheap, "Your best").startswith(text.percent(report.accuracy, 2))
    again = opened_page("learn", f"model={MODEL}&step=5&thresholds=1,1")
    assert reading(again, "Your best").startswith(text.MISSING)
    assert not reading(again, "Best of all visitors").startswith(text.MISSING)

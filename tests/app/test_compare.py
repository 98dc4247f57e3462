from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.bench import Race
from core.compare import compare
from core.policy import Policy
from core.shelf import card_of, list_models, shipped_table
from tests.app.pages import errors, html, link, opened_page, reading

MODEL, PLAIN, OTHER_DATA = "eenet8-mnist", "resnet8-mnist", "resnet20-cifar10"
A = f"model={MODEL}&criterion=margin&thresholds=0.9,0.8"
B = f"b-model={MODEL}&b-criterion=entropy&b-thresholds=0.5,0.5"


def opened(query: str = "") -> AppTest:
    return opened_page("compare", query)


def percent(fraction: float, digits: int) -> str:
    return f"{100 * fraction:.{digits}f}\N{NO-BREAK SPACE}%"


def figures(app: AppTest) -> str:
    return html(app).split("ee-versus", 1)[1].split("</table>", 1)[0]


def test_the_figures_are_those_of_both() -> None:
    app = opened(f"{A}&{B}")
    assert errors(app) == []
    table = shipped_table(MODEL, "test")
    found = compare(table, Policy("margin", [0.9, 0.8]), table, Policy("entropy", [0.5, 0.5]))
    for report in (found.first, found.second):
        assert percent(report.accuracy, 2) in figures(app)
        assert percent(report.relative_cost, 1) in figures(app)
    assert reading(app, "Another answer") == f"{found.changed_answer:,}"
    assert reading(app, "Another exit") == f"{found.changed_exit:,}"
    assert reading(app, "Wrong → right") == f"{found.to_right:,}"
    assert reading(app, "Right → wrong") == f"{found.to_wrong:,}"
    crossing = html(app).split("ee-crossing", 1)[1]
    for count in found.exits.ravel():
        assert f">{count:,}</td>" in crossing
    assert len(app.get("plotly_chart")) == 1


@pytest.mark.parametrize("name", list_models())
def test_every_model_has_something_to_be_compared_with(name: str) -> None:
    app = opened(f"model={name}")
    assert errors(app) == []
    assert link(app)["model"] == name
    assert card_of(str(link(app)["b-model"])).dataset == card_of(name).dataset


def test_a_configuration_against_itself_leaves_nothing_to_chance() -> None:
    app = opened(f"model={PLAIN}&b-model={PLAIN}")
    assert errors(app) == []
    assert "right on the same images" in html(app)
    assert not app.text_input


def test_networks_of_unlike_exits_are_compared_by_their_answers() -> None:
    app = opened(f"{A}&b-model={PLAIN}")
    assert errors(app) == []
    assert reading(app, "Another exit") == "–"
    assert "they have different exits" in html(app)
    assert html(app).count("A: Exit") == 2


def test_only_models_of_one_data_set_are_offered_and_b_follows_a() -> None:
    app = opened(f"{A}&b-model={OTHER_DATA}")
    assert errors(app) == []
    assert link(app)["b-model"] == MODEL
    offered = app.selectbox(key="B-model").options
    assert card_of(OTHER_DATA).title not in offered
    app.selectbox(key="A-model").set_value(OTHER_DATA).run()
    assert errors(app) == []
    assert card_of(str(link(app)["b-model"])).dataset == "cifar10"
    assert "no images in common" in html(app)


def test_both_sides_are_set_by_hand() -> None:
    app = opened(f"{A}&{B}")
    app.text_input(key="A-thresholds").set_value("0.25 off").run()
    app.selectbox(key="B-criterion").set_value("margin").run()
    last = card_of(MODEL).operating_points[-1]
    app.selectbox(key="B-point").set_value(last.name).run()
    assert errors(app) == []
    shown = link(app)
    assert shown["thresholds"].startswith("0.25,")
    assert shown["off"] == "2"
    fastest = Policy.from_dict(last.policy)
    assert shown["b-thresholds"] == ",".join(map(repr, fastest.thresholds))
    assert app.selectbox(key="A-point").value == "your own"


@pytest.mark.parametrize("text", ["", "0.5", "a, b", "2, 0.5", "0.1,0.2,0.3", "<b>,1"])
def test_thresholds_that_mean_nothing_are_a_sentence_and_change_nothing(text: str) -> None:
    app = opened(f"{A}&{B}")
    before = link(app)
    app.text_input(key="B-thresholds").set_value(text).run()
    assert len(errors(app)) == 1
    assert errors(app)[0].startswith("expected")
    assert link(app) == before
    app.selectbox(key="A-criterion").set_value("entropy").run()
    assert errors(app) == []


@pytest.mark.parametrize(
    "query",
    [
        "b-model=nonsense&b-thresholds=nan",
        f"b-model={MODEL}&b-thresholds=-7,9,3&b-criterion=<script>&b-off=x",
        f"b-model={PLAIN}&b-thresholds=0.1,0.2&b-off=1",
        "b-=1&b-b-model=2",
    ],
)
def test_a_strange_link_is_brought_into_range(query: str) -> None:
    app = opened(f"{A}&{query}")
    assert errors(app) == []
    assert "<script>" not in html(app)


def test_a_link_reproduces_what_it_was_copied_from() -> None:
    app = opened(f"{A}&{B}&off=1&b-off=2")
    again = opened("&".join(f"{name}={value}" for name, value in link(app).items()))
    assert link(again) == link(app)
    assert html(again) == html(app)


def measure(app: AppTest) -> AppTest:
    button = next(button for button in app.button if button.label == "Measure here")
    return button.click().run()


def test_times_are_shown_until_the_configuration_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def raced(entries: list[object], images: object, batch_size: int) -> Race:
        assert len(entries) == 2
        return Race(batch_size, 128, (0.002 * batch_size, 0.001))

    monkeypatch.setattr("app.resources.raced", raced)
    app = opened(f"{A}&{B}")
    assert "measure it" in figures(app)
    measure(app)
    assert errors(app) == []
    assert "2.00 ms" in figures(app)
    assert "× 0.50" in figures(app)
    assert "128 ms" in figures(app)
    app.text_input(key="B-thresholds").set_value("0.4, 0.4").run()
    assert "measure it" in figures(app)
    assert "× 0.50" not in figures(app)


def test_both_networks_really_run() -> None:
    app = measure(opened(f"{A}&b-model={PLAIN}"))
    assert errors(app) == []
    assert figures(app).count(" ms</td>") == 4


def test_without_any_picture_there_is_nothing_to_measure_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    monkeypatch.setattr("app.resources.samples", lambda dataset: None)
    app = measure(opened(f"{A}&{B}"))
    assert len(errors(app)) == 1
    assert "core data prepare mnist" in errors(app)[0]

"""The section "Under drift" of the Compare page."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import resources
from app.components.drift import DRIFT
from core.analysis.drift import under_drift
from core.data.prepared import write_prepared
from core.data.samples import load_samples
from core.exits.cost_controller import HeldCost
from core.exits.policy import Policy
from core.foundation.jobs import OnProgress
from core.hub.drift import load_drift
from core.hub.model import load
from core.hub.registry import card_of, model_folder, shipped_table
from tests.app.pages import button, errors, html, link, opened_page, percent

MODEL, PLAIN, NO_TABLES = "eenet8-mnist", "resnet8-mnist", "branchy8-mnist"
A = f"model={MODEL}&criterion=margin&thresholds=0.9,0.8"
POLICY = Policy("margin", [0.9, 0.8])
PATIENCE = 120.0


@pytest.fixture(autouse=True)
def no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    resources.RESULTS.clear()


def opened(query: str) -> AppTest:
    return opened_page("compare", query)


def section(app: AppTest) -> str:
    return html(app).split("<h2>Under drift</h2>", 1)[1]


def test_shipped_tables_show_what_fixed_thresholds_and_a_held_cost_do() -> None:
    app = opened(f"{A}&drift=blur&drift-severity=0.4&drift-drop=2")
    assert errors(app) == []
    test = shipped_table(MODEL, "test")
    shipped = load_drift(model_folder(MODEL), card_of(MODEL), test)["blur"]
    cost = HeldCost.of(shipped_table(MODEL, "calibration"), POLICY)
    found = under_drift(shipped[0.0], shipped[0.4], cost)
    for outcome in (found.fixed, found.held):
        assert percent(outcome.accuracy, 1) in section(app)
        assert percent(outcome.relative_cost, 1) in section(app)
    assert percent(found.settled_cost, 1) in section(app)
    assert percent(found.reference_accuracy, 1) in section(app)
    assert "At most 2 points lost?" in section(app)
    assert "cannot hold the accuracy" in section(app)
    assert app.select_slider(key="drift-severity").options == ["0%", "30%", "40%", "50%"]
    assert section(app).count("<img") == 8
    charts = [chart for chart in app.get("plotly_chart") if "severity" in chart.proto.alt]
    assert len(charts) == 2


def test_choices_are_in_the_link() -> None:
    app = opened(A)
    app.selectbox(key="drift-corruption").set_value("contrast").run()
    app.number_input(key="drift-drop").set_value(0.5).run()
    assert errors(app) == []
    assert link(app)["drift"] == "contrast"
    assert link(app)["drift-drop"] == "0.5"
    app.select_slider(key="drift-severity").set_value(0.5).run()
    assert link(app)["drift-severity"] == "0.5"
    again = opened("&".join(f"{name}={value}" for name, value in link(app).items()))
    assert section(again) == section(app)


def test_a_severity_that_does_not_ship_is_the_nearest_one_that_does() -> None:
    app = opened(f"{A}&drift=rotation&drift-severity=0.9")
    assert errors(app) == []
    assert app.selectbox(key="drift-corruption").value == "noise"
    assert app.select_slider(key="drift-severity").value == 0.5


@pytest.mark.parametrize("drop", ["0", "50"])
def test_the_promise_is_kept_or_broken(drop: str) -> None:
    app = opened(f"{A}&drift=blur&drift-severity=0.4&drift-drop={drop}")
    assert errors(app) == []
    assert section(app).count({"0": ">broken<", "50": ">kept<"}[drop]) == 2


def test_without_images_and_tables_a_sentence_says_so() -> None:
    app = opened(f"model={NO_TABLES}")
    assert errors(app) == []
    (told,) = [one.value for one in app.info if "Corrupted images" in one.value]
    assert "python -m core data prepare mnist" in told
    assert card_of(MODEL).title in told
    assert not any(one.key == f"{DRIFT.name}-corruption" for one in app.selectbox)


def test_a_plain_network_has_nothing_that_could_drift() -> None:
    app = opened(f"model={PLAIN}")
    assert errors(app) == []
    assert "Under drift" not in html(app)


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of the shipped digits stand for the test images of a model without tables."""
    part = load_samples("mnist").select(np.arange(0, 5000, 50))
    write_prepared("mnist", "test", part.images, part.labels, part.classes, tmp_path)
    tables = {name: load(name).table(part.images, part.labels) for name in (NO_TABLES, PLAIN)}
    calibration = shipped_table(NO_TABLES, "calibration")
    monkeypatch.setattr(
        resources,
        "tables",
        lambda name: {"calibration": calibration, "test": tables.get(name, tables[PLAIN])},
    )


@pytest.mark.usefixtures("digits")
def test_the_whole_split_is_run_on_demand_and_shared() -> None:
    query = f"model={NO_TABLES}&b-model={PLAIN}&drift=rotation&drift-severity=0.2"
    app = opened(query)
    assert errors(app) == []
    assert "At most" not in section(app)
    button(app, "Run at 20%").click().run()
    if "drift-job" in app.session_state:
        assert app.session_state["drift-job"].wait(PATIENCE)
    app.run()
    assert errors(app) == []
    assert "At most 1 point lost?" in section(app)
    assert any("All 100 test images" in one.value for one in app.caption)
    found = resources.drifted(NO_TABLES, "rotation", 0.2)
    assert found is not None
    assert found.plain_right is not None
    other = opened(query)
    assert section(other) == section(app)
    assert not any(one.label == "Run at 20%" for one in other.button)


@pytest.mark.usefixtures("digits")
def test_a_run_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*arguments: object, **_: object) -> None:
        on_progress: OnProgress = next(one for one in reversed(arguments) if callable(one))  # type: ignore[assignment]
        while True:
            on_progress(0.5, "Half of them")

    monkeypatch.setattr(resources, "corrupted_tables", endless)
    app = opened(f"model={NO_TABLES}&b-model={PLAIN}&drift=rotation&drift-severity=0.2")
    button(app, "Run at every severity").click().run()
    job = app.session_state["drift-job"]
    assert job.running
    button(app, "Stop").click().run()
    assert job.wait(PATIENCE)
    app.run()
    assert errors(app) == []
    assert button(app, "Run at every severity")
    assert resources.drifted(NO_TABLES, "rotation", 0.2) is None

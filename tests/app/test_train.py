import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.state import from_query, to_query
from app.views.train import Chosen
from core.data import splits
from core.data.samples import load_samples
from core.hub.model import load
from core.hub.registry import as_zip
from core.training.lesson import COLLAPSING, MOST_EPOCHS, MOST_LAMBDA, SOUND
from tests.app.pages import button, errors, html, link, opened_page, reading

QUICK = "epochs=1&loss=v2&lambda=0.5"
PATIENCE = 120


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on 30 of each digit."""
    whole = load_samples("mnist")
    few = np.concatenate([np.flatnonzero(whole.labels == label)[:30] for label in range(10)])
    monkeypatch.setattr(splits, "load_samples", lambda name: whole.select(few))


def start(app: AppTest) -> AppTest:
    return button(app, "Start").click().run()


def trained(query: str = QUICK) -> AppTest:
    app = start(opened_page("train", query))
    assert not app.exception
    assert app.session_state["own-models"].training.wait(PATIENCE)
    return app.run()


def test_it_says_what_is_going_to_happen() -> None:
    app = opened_page("train")
    assert errors(app) == []
    assert "<b>4,000</b> of the 5,000" in html(app)
    assert "What to watch" in html(app)


def test_a_training_becomes_a_model_of_this_session_only() -> None:
    app = trained()
    assert errors(app) == []
    assert reading(app, "Epochs") == "1 of 1"
    assert reading(app, "Relative cost") != "–"
    assert len(app.get("plotly_chart")) == 4
    assert "Trained here 1: v2, λ = 0.5" in html(app)
    folder: Path = app.session_state["own-models"].folder / "trained-here-1"
    assert load(folder).card.dataset == "mnist-samples"
    with zipfile.ZipFile(io.BytesIO(as_zip(folder))) as archive:
        assert {Path(name).name for name in archive.namelist()} == {
            "card.json",
            "fronts.npz",
            "weights.safetensors",
            "table.npz",
        }

    other = opened_page("playground", "model=trained-here-1")
    assert errors(other) == []
    assert link(other)["model"] != "trained-here-1"
    assert "trained-here-1" not in other.selectbox(key="model").options


def test_two_trainings_are_two_models() -> None:
    app = trained()
    app.selectbox(key="lesson-loss").set_value("v0").run()
    start(app)
    assert app.session_state["own-models"].training.wait(PATIENCE)
    app.run()
    assert errors(app) == []
    assert app.selectbox(key="trained-model").options == [
        "Trained here 2: v0",
        "Trained here 1: v2, λ = 0.5",
    ]


def test_stop_keeps_what_was_learned() -> None:
    app = start(opened_page("train", f"epochs={MOST_EPOCHS}"))
    assert app.slider(key="lesson-epochs").disabled
    button(app, "Stop").click().run()
    assert errors(app) == []
    training = app.session_state["own-models"].training
    assert training.stopping
    assert training.wait(PATIENCE)
    app.run()
    assert errors(app) == []
    assert 1 <= len(training.reports) < MOST_EPOCHS
    assert len(app.selectbox(key="trained-model").options) == 1


def test_no_more_trainings_at_once_than_there_is_room_for() -> None:
    first = start(opened_page("train", f"epochs={MOST_EPOCHS}"))
    held = [first.session_state["own-models"].training]
    for _ in range(64):
        app = start(opened_page("train", f"epochs={MOST_EPOCHS}"))
        if app.error:
            break
        held.append(app.session_state["own-models"].training)
    assert "try again in a minute" in errors(app)[0]
    assert not app.exception
    for training in held:
        training.stop()
    assert all(training.wait(PATIENCE) for training in held)


def test_a_collapse_is_explained() -> None:
    app = opened_page("train", "epochs=4")
    button(app, "See it collapse").click().run()
    assert app.slider(key="lesson-lambda_cost").value == COLLAPSING
    app.slider(key="lesson-lambda_cost").set_value(MOST_LAMBDA).run()
    start(app)
    assert app.session_state["own-models"].training.wait(PATIENCE)
    app.run()
    assert errors(app) == []
    assert "leave at exit 1" in html(app)
    assert "<b>Lower λ</b>" in html(app)
    button(app, "Make it sound").click().run()
    assert app.slider(key="lesson-lambda_cost").value == SOUND


def test_a_failure_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise RuntimeError("a secret of the machine")

    monkeypatch.setattr(splits, "load_samples", broken)
    app = trained()
    assert len(errors(app)) == 1
    assert "broke off" in errors(app)[0]
    assert "secret" not in errors(app)[0]


def test_no_exit_no_start() -> None:
    app = opened_page("train")
    app.button_group(key="lesson-exits").set_value([]).run()
    assert button(app, "Start").disabled
    assert "at least one" in app.warning[0].value


@pytest.mark.parametrize(
    ("query", "changed"),
    [
        ({}, {}),
        ({"loss": "tarot", "lambda": "nan", "epochs": "-3", "exits": "moon", "seed": "x"}, {}),
        ({"lambda": "1e9", "epochs": "0"}, {"lambda_cost": MOST_LAMBDA, "epochs": 1}),
        ({"exits": "block2,stem", "seed": "12"}, {"exits": ("stem", "block2"), "seed": 12}),
        ({"loss": "v1", "lambda": "0.25"}, {"loss": "v1", "lambda_cost": 0.25}),
    ],
)
def test_a_link_is_clamped(query: dict[str, str], changed: dict[str, Any]) -> None:
    expected = replace(Chosen(), **changed)
    assert from_query(Chosen, query) == expected
    assert from_query(Chosen, to_query(expected)) == expected


def test_a_link_sets_the_page() -> None:
    app = opened_page("train", "loss=v1&lambda=0.25&epochs=7&exits=block1&seed=3")
    assert errors(app) == []
    assert app.selectbox(key="lesson-loss").value == "v1"
    assert app.slider(key="lesson-epochs").value == 7
    assert link(app)["exits"] == "block1"
    app.selectbox(key="lesson-loss").set_value("v0").run()
    assert app.slider(key="lesson-lambda_cost").disabled
    assert link(app)["loss"] == "v0"

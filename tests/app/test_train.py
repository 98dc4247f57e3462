import gc
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import resources
from app.runs import Run, Runs
from app.state import from_query, to_query
from app.views.train import Chosen
from core.data import splits
from core.data.samples import load_samples
from core.foundation.jobs import OnProgress
from core.hub.model import load
from core.hub.registry import as_zip
from core.hub.trainings import TrainingJob
from core.training.lesson import COLLAPSING, MOST_EPOCHS, MOST_LAMBDA, SOUND
from tests.app.pages import button, errors, html, link, opened_page, percent, reading

QUICK = "epochs=1&loss=v2&lambda=0.5"
PATIENCE = 120


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on 30 of each digit."""
    whole = load_samples("mnist")
    few = np.concatenate([np.flatnonzero(whole.labels == label)[:30] for label in range(10)])
    monkeypatch.setattr(splits, "load_samples", lambda name: whole.select(few))


def training(app: AppTest) -> TrainingJob:
    last: TrainingJob = app.session_state["own-models"].runs[-1].training
    return last


def start(app: AppTest) -> AppTest:
    return button(app, "Start").click().run()


def trained(query: str = QUICK) -> AppTest:
    app = start(opened_page("train", query))
    assert not app.exception
    assert training(app).wait(PATIENCE)
    return app.run()


def test_it_says_what_is_going_to_happen() -> None:
    app = opened_page("train")
    assert errors(app) == []
    assert "<b>4,000</b> of the 5,000" in html(app)
    assert "What to watch" in html(app)


def test_a_training_becomes_a_model_that_a_link_finds_again() -> None:
    app = trained()
    assert errors(app) == []
    assert reading(app, "Epochs") == "1 of 1"
    assert reading(app, "Relative cost") != "–"
    assert len(app.get("plotly_chart")) == 4
    assert "Trained here 1: v2, λ = 0.5" in html(app)
    folder = training(app).folder
    assert load(folder).card.dataset == "mnist-samples"
    with zipfile.ZipFile(io.BytesIO(as_zip(folder))) as archive:
        assert {Path(name).name for name in archive.namelist()} == {
            "card.json",
            "fronts.npz",
            "weights.safetensors",
            "table.npz",
        }

    again = opened_page("train", urlencode(link(app)))  # as after a reload
    assert errors(again) == []
    assert reading(again, "Epochs") == "1 of 1"
    assert again.selectbox(key="trained-model").options == ["Trained here 1: v2, λ = 0.5"]
    elsewhere = opened_page(
        "playground", urlencode({"run": link(app)["run"], "model": folder.name})
    )
    assert errors(elsewhere) == []
    assert not elsewhere.warning
    assert elsewhere.selectbox(key="model").value == folder.name
    assert link(elsewhere)["run"] == link(app)["run"]

    stranger = opened_page("playground", f"model={folder.name}")
    assert errors(stranger) == []
    assert link(stranger)["model"] != folder.name
    assert "run" not in link(stranger)
    assert folder.name not in stranger.selectbox(key="model").options


def test_a_run_goes_on_after_a_reload() -> None:
    app = start(opened_page("train", f"epochs={MOST_EPOCHS}"))
    again = opened_page("train", urlencode(link(app)))
    assert training(again) is training(app)
    button(again, "Stop").click().run()
    assert training(app).wait(PATIENCE)
    again.run()
    assert errors(again) == []
    assert len(again.selectbox(key="trained-model").options) == 1


def test_a_run_that_is_not_kept_any_more_is_said() -> None:
    app = opened_page("train", "run=0123456789ab.nonsense&epochs=1")
    assert errors(app) == []
    assert app.warning[0].value.startswith("2 trainings of the link cannot be found")
    start(app)
    assert not app.warning
    assert training(app).wait(PATIENCE)


def test_two_trainings_are_two_models() -> None:
    app = trained()
    app.selectbox(key="lesson-loss").set_value("v0").run()
    start(app)
    assert training(app).wait(PATIENCE)
    app.run()
    assert errors(app) == []
    assert app.selectbox(key="trained-model").options == [
        "Trained here 2: v0",
        "Trained here 1: v2, λ = 0.5",
    ]


def test_stop_keeps_what_was_learned() -> None:
    app = start(opened_page("train", f"epochs={MOST_EPOCHS}"))
    assert training(app)._begun.wait(PATIENCE)
    app.run()
    assert app.slider(key="lesson-epochs").disabled
    button(app, "Stop").click().run()
    assert errors(app) == []
    assert training(app).stopping
    assert training(app).wait(PATIENCE)
    app.run()
    assert errors(app) == []
    assert 1 <= len(training(app).reports) < MOST_EPOCHS
    assert len(app.selectbox(key="trained-model").options) == 1


def test_a_class_waits_in_a_queue_and_each_starts_by_itself() -> None:
    places = resources.training_queue().places
    working = [start(opened_page("train", f"epochs={MOST_EPOCHS}")) for _ in range(places)]
    assert all(training(app)._begun.wait(PATIENCE) for app in working)
    second, third = (start(opened_page("train", QUICK)) for _ in range(2))
    assert errors(second) == errors(third) == []
    assert "Yours starts by itself" in html(second.run())
    assert "Number 1 in the queue" in html(second)
    assert "Number 2 in the queue" in html(third.run())
    again = opened_page("train", urlencode(link(third)))  # a reload keeps the place
    assert "Number 2 in the queue" in html(again)
    button(second, "Leave the queue").click().run()
    assert training(second).wait(PATIENCE)
    assert "What is going to happen" in html(second.run())
    assert not button(second, "Start").disabled
    for app in working:
        training(app).stop()
    assert training(again).wait(PATIENCE)
    assert "Leaving early" in html(again.run())
    assert all(training(app).wait(PATIENCE) for app in working)


class Visitor:
    """Has a run open for as long as it is there."""


@contextmanager
def never(on_progress: OnProgress) -> Iterator[None]:
    while True:
        on_progress(0.0, "Number 1 in the queue …")
    yield


def test_who_waits_and_goes_away_leaves_the_queue() -> None:
    runs = Runs()

    visitor = Visitor()
    run = runs.begin(Chosen(epochs=1), 1, never, visitor)
    assert runs.find(run.token, visitor) is run
    assert run.training.waiting
    del visitor
    gc.collect()
    assert run.training.wait(PATIENCE)
    assert run.training.stage == "stopped"


def test_runs_that_nobody_has_open_are_kept_for_a_while_and_not_too_many() -> None:
    def two(runs: Runs) -> list[Run]:
        visitor = Visitor()
        begun = [runs.begin(Chosen(epochs=1), number, never, visitor) for number in (1, 2)]
        for run in begun:
            run.training.stop()
            assert run.training.wait(PATIENCE)
        return begun

    visitor = Visitor()
    for runs, left in ((Runs(), 2), (Runs(kept=0.0), 0), (Runs(most=1), 1)):
        begun = two(runs)
        gc.collect()
        found = [runs.find(run.token, visitor) for run in begun[::-1]]
        assert sum(run is not None for run in found) == left
        assert found[0] is begun[1] or left == 0


def test_one_result_counts_and_it_is_that_of_the_test_digits() -> None:
    app = trained()
    card = training(app).result
    assert card is not None
    point = card.default_point
    assert point is not None
    assert point.test is not None
    assert reading(app, "Leaving early") == percent(point.test.accuracy, 1)
    assert reading(app, "Relative cost") == percent(point.test.relative_cost, 1)
    assert reading(app, "At the last exit") == percent(card.exit_accuracy("test")[-1], 1)
    assert "at the chosen thresholds" in html(app)
    assert "so that epochs can be compared" in html(app)


def test_a_collapse_is_explained() -> None:
    app = opened_page("train", "epochs=4")
    button(app, "See it collapse").click().run()
    assert app.slider(key="lesson-lambda_cost").value == COLLAPSING
    assert training(app).running
    training(app).stop()
    assert training(app).wait(PATIENCE)
    app.run()
    app.slider(key="lesson-lambda_cost").set_value(MOST_LAMBDA).run()
    start(app)
    assert training(app).wait(PATIENCE)
    app.run()
    assert errors(app) == []
    assert "leave at exit 1" in html(app)
    assert "<b>Lower λ</b>" in html(app)
    button(app, "Make it sound").click().run()
    assert app.slider(key="lesson-lambda_cost").value == SOUND
    training(app).stop()
    assert training(app).wait(PATIENCE)


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

"""A visitor's own images on the Samples page."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.components.pictures import png
from app.kept_pictures import Own, kept_pictures
from core.data.samples import load_samples
from core.exits.policy import Policy
from core.exits.routing import route
from core.foundation.jobs import OnProgress
from core.hub import scoring
from core.hub.model import load
from core.hub.registry import tables_of
from tests.app.pages import (
    button,
    components,
    errors,
    exit_cards,
    html,
    link,
    opened_page,
    percent,
    receipt,
    tiles,
)
from tests.core.data.pictures import packed

MODEL = "eenet8-mnist"
QUERY = f"model={MODEL}&criterion=max_probability&thresholds=0.99,0.9&of=own"
POLICY = Policy("max_probability", [0.99, 0.9])
PATIENCE = 120.0
CHOSEN = range(0, 5000, 250)


@pytest.fixture(autouse=True)
def empty_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    monkeypatch.delenv("EENET_FOLDERS", raising=False)


def digits(folder: str = "{label}") -> dict[str, bytes]:
    samples = load_samples("mnist")
    return {
        f"{folder.format(label=samples.labels[index])}/{index:04}.png": png(samples.images[index])
        for index in CHOSEN
    }


def brought(files: dict[str, bytes], query: str = QUERY, wait: bool = True) -> AppTest:
    app = opened_page("samples", query)
    app.file_uploader[0].upload("digits.zip", packed(files), "application/zip")
    app.run()
    return waited(app) if wait else app


def waited(app: AppTest) -> AppTest:
    job = app.session_state["own-collection"].job
    assert job is None or job.wait(PATIENCE)
    return app.run()


def labels_of(app: AppTest) -> list[str]:
    widgets = [*app.selectbox, *app.button_group, *app.segmented_control]
    return [one.label for one in widgets]


def test_it_says_what_can_be_brought() -> None:
    app = opened_page("samples", QUERY)
    assert errors(app) == []
    assert "Bring your own images" in html(app)
    assert "28 × 28 pixels" in html(app)
    assert not tiles(app)
    assert app.button_group(key="own-kind").options == ["A zip", "A folder"]
    assert link(app)["of"] == "own"


def test_class_folders_give_labels() -> None:
    app = brought(digits())
    assert errors(app) == []
    assert "20 images of &#x27;digits.zip&#x27;" in html(app)
    assert "Their folders give the label of each." in html(app)
    shown = tiles(app)
    samples = load_samples("mnist")
    by_name = sorted(digits())
    assert [tile["truth"] for tile in shown] == [name[0] for name in by_name]
    assert all(tile["right"] is not None and tile["image"] for tile in shown)
    images = np.stack([samples.images[int(name[2:6])] for name in by_name])
    decision = route(load(MODEL).table(images), POLICY)
    assert [tile["answer"] for tile in shown] == [str(one) for one in decision.answers]
    counts = [card["count"] for card in exit_cards(app)[1:]]
    assert counts == [str(int((decision.exits == index).sum())) for index in range(3)]
    assert {"Answer", "Flips", "Class"} <= set(labels_of(app))


def test_without_labels_nothing_is_right_but_the_last_exit_may_agree() -> None:
    app = brought(digits("holiday"))
    assert errors(app) == []
    assert "They have no labels" in html(app)
    assert "holiday (20)" in html(app)
    assert all(tile["right"] is None and tile["truth"] == "" for tile in tiles(app))
    assert {"Last exit", "Answered"} <= set(labels_of(app))
    assert not {"Answer", "Flips", "Class"} & set(labels_of(app))
    assert "agree with the last exit" in exit_cards(app)[0]["note"]
    (brush,) = [data for data in components(app) if "below" in data]
    assert brush["up"]["name"] == "agrees with the last exit"
    assert sum(brush["up"]["counts"]) + sum(brush["down"]["counts"]) == 20

    app.selectbox(key="class").set_value("3").run()
    assert link(app)["taken"] == "3"
    assert tiles(app)
    assert {tile["answer"] for tile in tiles(app)} == {"3"}
    app.segmented_control(key="agreement").set_value("differs").run()
    assert errors(app) == []
    assert all(any("≠" in note for note in tile["notes"]) for tile in tiles(app))
    assert link(app)["last"] == "differs"


def test_some_labels_are_told_apart() -> None:
    samples = load_samples("mnist")
    one = png(samples.images[0])
    app = brought({"0/a.png": one, "zero/b.png": one, "c.png": one})
    assert errors(app) == []
    assert "The folders of 1 give their labels" in html(app)
    assert "zero (1)" in html(app)
    assert sorted(str(tile["right"]) for tile in tiles(app)) == ["None", "None", "True"]
    assert exit_cards(app)[0]["note"] == f"{percent(1.0, 2)} of the 1 with a label right"
    assert f"{percent(1.0, 2)} of the 1 with a label right" in html(app)


def test_what_cannot_be_read_is_listed_with_its_reason() -> None:
    app = brought({**digits(), "broken.png": b"x", "notes.txt": b"x"})
    assert errors(app) == []
    assert "2 files skipped" in html(app)
    listed = app.dataframe[0].value
    assert set(listed["file"]) == {"broken.png", "notes.txt"}
    assert len(tiles(app)) == 20


def test_dark_ink_on_paper_is_turned_around() -> None:
    samples = load_samples("mnist")
    app = brought({"0/a.png": png(255 - samples.images[0])})
    assert "Light and dark were exchanged in 1" in html(app)
    assert tiles(app)[0]["answer"] == "0"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no zip", "to be a zip archive"),
        (packed({}), "it is empty"),
        (packed({"a.txt": b"x"}), "there are none"),
    ],
)
def test_an_archive_that_is_none_is_a_sentence(content: bytes, says: str) -> None:
    app = opened_page("samples", QUERY)
    app.file_uploader[0].upload("mine.zip", content, "application/zip")
    app.run()
    assert says in errors(app)[0]
    assert len(errors(app)) == 1
    assert "Bring your own images" in html(app)


def test_pictures_of_which_none_can_be_read_are_a_sentence() -> None:
    app = brought({"a.png": b"x"})
    assert "none of 1 can" in errors(app)[0]


def test_a_fault_of_ours_is_an_apology(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret of the machine")

    monkeypatch.setattr(scoring, "score", broken)
    app = brought({"a.png": b"x"})
    assert "broke off" in errors(app)[0]
    assert "secret" not in errors(app)[0]


def test_while_it_scores_it_says_how_far_it_is_and_can_be_called_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def endless(model: Any, collection: Any, on_progress: OnProgress, **_: Any) -> None:
        while True:
            on_progress(0.5, "10 of 20 pictures")

    monkeypatch.setattr(scoring, "score", endless)
    app = brought(digits(), wait=False)
    assert errors(app) == []
    assert "Scoring your images" in html(app)
    assert not tiles(app)
    app.button(key="call-off").click().run()
    app = waited(app)
    assert errors(app) == []
    assert "20 images of" in html(app)
    monkeypatch.undo()
    button(app, "Score them with this model").click().run()
    app = waited(app)
    assert len(tiles(app)) == 20


def test_another_model_is_asked_when_it_is_told_to() -> None:
    app = brought(digits())
    app.selectbox(key="model").set_value("resnet8-mnist").run()
    assert errors(app) == []
    assert not tiles(app)
    button(app, "Score them with this model").click().run()
    app = waited(app)
    assert errors(app) == []
    assert len(tiles(app)) == 20
    app.selectbox(key="model").set_value(MODEL).run()
    assert len(tiles(app)) == 20  # what was asked before is kept


def test_other_images_take_their_place() -> None:
    app = brought(digits())
    button(app, "Bring other images").click().run()
    assert errors(app) == []
    assert not tiles(app)
    app.file_uploader[0].upload("one.zip", packed({"7/a.png": digits()["0/0000.png"]}), "x/zip")
    app = waited(app.run())
    assert [tile["truth"] for tile in tiles(app)] == ["7"]


def test_other_albums_stay_as_they_were() -> None:
    app = brought(digits())
    control = app.segmented_control(key="source")
    assert "Your own images (20)" in control.options
    control.set_value("samples").run()
    assert errors(app) == []
    assert exit_cards(app)[0]["count"] == "5,000"
    app.segmented_control(key="source").set_value("own").run()
    assert exit_cards(app)[0]["count"] == "20"


def test_one_of_them_is_opened_and_shown_what_is_known() -> None:
    app = brought(digits("holiday"), f"{QUERY}&open=3")
    assert errors(app) == []
    assert "<h2>holiday/0500.png</h2>" in html(app)
    assert "It has no label." in html(app)
    assert button(app, "Open in the Playground")


def test_names_of_files_do_no_harm() -> None:
    evil = "<img src=x onerror=alert(1)>"
    app = brought({f"{evil}/{evil}.png": digits()["0/0000.png"]}, f"{QUERY}&open=1")
    assert errors(app) == []
    assert "<img src=x" not in html(app)


def test_a_folder_of_files_is_taken_with_its_folders() -> None:
    app = opened_page("samples", QUERY)
    app.button_group(key="own-kind").set_value("folder").run()
    assert app.file_uploader[0].accept_directory
    files = [(f"set/{name}", body, "image/png") for name, body in digits().items()]
    app.file_uploader[0].set_value(files).run()
    app = waited(app)
    assert errors(app) == []
    assert {tile["truth"] for tile in tiles(app)} == set("0123456789")


def test_a_path_on_the_server_only_where_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "open"
    with zipfile.ZipFile(io.BytesIO(packed(digits()))) as archive:
        archive.extractall(root / "mine")
    monkeypatch.setenv("EENET_FOLDERS", str(root))
    app = opened_page("samples", QUERY)
    app.button_group(key="own-kind").set_value("path").run()
    app.text_input(key="own-path").set_value("../..")
    button(app, "Score them").click().run()
    assert "check the path" in errors(app)[0]
    app.text_input(key="own-path").set_value("mine")
    button(app, "Score them").click().run()
    app = waited(app)
    assert errors(app) == []
    assert len(tiles(app)) == 20


def test_somebody_else_sees_none_of_it() -> None:
    brought(digits())
    other = opened_page("samples", QUERY)
    assert not tiles(other)
    assert "Bring your own images" in html(other)


def test_the_part_that_the_network_sees_is_framed_and_stays_so_in_the_playground() -> None:
    digit = load_samples("mnist").images[3000]
    wide = np.concatenate([np.zeros_like(digit), digit, np.zeros_like(digit)], axis=1)
    app = brought({"6/wide.png": png(wide), "6/whole.png": png(digit)}, f"{QUERY}&open=2")
    assert errors(app) == []
    assert "<h2>6/wide.png</h2>" in html(app)
    assert "The network sees what is inside the frame." in html(app)
    assert "left:33.33%;top:0.00%;width:33.33%;height:100.00%" in html(app)
    whole = opened_page("samples", f"{QUERY}&open=1")
    whole.session_state["own-collection"] = app.session_state["own-collection"]
    whole.run()
    assert "<h2>6/whole.png</h2>" in html(whole)
    assert "ee-whole" not in html(whole)

    source = app.session_state["own-collection"].source(MODEL)
    came = Own("6/wide.png", source.files[1].read(), label=6, dataset="mnist")
    playground = opened_page("playground", f"model={MODEL}&own={kept_pictures().keep([came])}")
    assert errors(playground) == []
    assert any(data.get("crop") for data in components(playground))
    assert "<b>6</b><br>6/wide.png" in html(playground)


def many() -> dict[str, bytes]:
    """160 of them."""
    samples = load_samples("mnist")
    return {
        f"{samples.labels[index]}/{index:04}.png": png(samples.images[index])
        for index in range(0, 4960, 31)
    }


def test_labelled_images_choose_thresholds_and_end_in_a_receipt() -> None:
    app = brought({**many(), "holiday/a.png": digits()["0/0000.png"]})
    app.slider(key="own-share").set_value(70)
    app.number_input(key="own-seed").set_value(3)
    button(app, "Divide them").click().run()
    job = app.session_state["own-collection"].splitting
    assert job.wait(PATIENCE)
    app.run()
    assert errors(app) == []
    name = app.session_state["own-collection"].split
    made = app.session_state["own-models"].folder / name
    tables = tables_of(made)
    assert {split: len(table) for split, table in tables.items()} == {
        "calibration": 112,
        "test": 48,
    }
    assert "112 for calibration and 48 for test" in html(app)
    assert any("112 calibration images" in note.value for note in app.caption)
    card = load(made).card
    assert (card.weights_of, card.sha256) == (MODEL, load(MODEL).card.sha256)
    assert card.plain is not None

    thresholds = opened_page("thresholds")  # with this session's models
    thresholds.session_state["own-models"] = app.session_state["own-models"]
    thresholds.run()
    thresholds.selectbox(key="model").set_value(name).run()
    thresholds.slider(key="drop").set_value(5.0)
    thresholds.select_slider(key="confidence").set_value(50)
    button(thresholds, "Find").click().run()
    assert errors(thresholds) == []
    said = receipt(thresholds)
    assert "against the plain network, proven with 50" in said["Wanted"]
    assert re.search(r"right \([0-9.]+ % to [0-9.]+ %\)", said["On test"])
    assert said["Kept on test"]


def test_few_labels_cannot_choose() -> None:
    app = brought({**digits("holiday"), "0/a.png": digits()["0/0000.png"]})
    assert any("here are 1" in note.value for note in app.caption)
    assert all(one.label != "Divide them" for one in app.button)

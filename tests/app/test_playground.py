import io
import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import resources
from app.components import saliency
from app.components.neighbours import COUNT
from app.components.pictures import thumbnail
from app.kept_pictures import Own, kept_pictures
from core.analysis.corruptions import CORRUPTIONS, corrupt
from core.analysis.saliency import SALIENCY
from core.data.prepared import write_prepared
from core.data.samples import load_samples, sample_names
from core.exits.policy import Policy
from core.exits.routing import route
from core.foundation.files import read_json, write_json
from core.foundation.places import PRETRAINED
from core.hub.model import load
from core.hub.registry import card_of, model_folder, shipped_models, shipped_table
from tests.app.pages import (
    button,
    components,
    errors,
    html,
    leaves_at,
    link,
    maps,
    opened,
    opened_page,
    policy,
    reading,
    tiles,
)

MODEL = "eenet8-mnist"
NO_SAMPLES = "airbench-large-tiny"  # its images may not be passed on


def with_upload(content: bytes, name: str, kind: str = "image/png", model: str = MODEL) -> AppTest:
    app = opened(f"model={model}")
    app.file_uploader[0].upload(name, content, kind)
    return app.run()


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("name", shipped_models())
def test_every_model_shows_its_ladder(name: str) -> None:
    card = card_of(name)
    if card.dataset in sample_names():
        app = opened(f"model={name}")
    else:
        app = with_upload(png(load_samples("cifar10").images[0]), "cat.png", model=name)
    assert errors(app) == []
    assert html(app).count("data-exit=") == card.num_exits
    assert policy(app) == card.default_policy
    assert reading(app, "Answer") in card.classes


def test_where_no_images_ship_it_asks_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    app = opened(f"model={NO_SAMPLES}")
    assert errors(app) == []
    assert [one.value for one in app.info] == [
        "No images of Tiny-ImageNet ship, and the data set is not on this machine: "
        "upload a picture to begin."
    ]


@pytest.mark.parametrize("stranger", [False, True])
def test_where_no_images_ship_those_on_the_disk_stand_in(
    stranger: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    classes = card_of(NO_SAMPLES).classes
    pixels = np.random.default_rng(0).integers(0, 256, (600, 64, 64, 3), dtype=np.uint8)
    labels = np.arange(600) // 3
    written = classes[::-1] if stranger else classes
    write_prepared("tiny-imagenet", "test", pixels, labels, written, tmp_path)
    app = opened(f"model={NO_SAMPLES}&sample=8")
    assert errors(app) == []
    if stranger:  # other images of the same name
        assert len(app.info) == 1
    else:
        assert "Sample 8 of 200" in html(app)
        assert f"it is {classes[7]}" in html(app) or reading(app, "Answer") == classes[7]


def test_it_opens_with_an_early_exit_model_and_its_default_policy() -> None:
    app = opened()
    assert errors(app) == []
    shown = link(app)
    card = card_of(shown["model"])
    assert card.num_exits > 1
    assert shown["criterion"] == card.default_policy.criterion
    assert policy(app) == card.default_policy


@pytest.mark.parametrize(
    ("thresholds", "off", "leaves"),
    [("0,0", "", 0), ("1,0", "", 1), ("1,1", "", 2), ("0,0", "1", 1), ("0,0", "1,2", 2)],
)
def test_thresholds_and_switches_decide_where_it_leaves(
    thresholds: str, off: str, leaves: int
) -> None:
    app = opened(f"model={MODEL}&criterion=max_probability&thresholds={thresholds}&off={off}")
    assert leaves_at(app) == leaves
    title = "Extra compute" if leaves == 2 and not off else "Compute saved"
    assert reading(app, title).endswith("%")
    assert html(app).count("○ switched off") == len(off.split(",")) * bool(off)


def test_the_page_agrees_with_the_library() -> None:
    model = load(MODEL)
    images = load_samples("mnist")
    for number in (17, 1234, 4321):
        app = opened(
            f"model={MODEL}&sample={number + 1}&criterion=max_probability&thresholds=0.99999,0.9"
        )
        chosen = Policy("max_probability", [0.99999, 0.9])
        expected = model.predict(images.images[number : number + 1], chosen)
        assert leaves_at(app) == expected.exits[0]
        assert reading(app, "Answer") == model.card.classes[expected.labels[0]]


def test_choosing_an_operating_point_sets_its_thresholds() -> None:
    app = opened(f"model={MODEL}")
    card = card_of(MODEL)
    last = card.operating_points[-1]
    app.selectbox(key="point").set_value(last.name).run()
    assert policy(app) == Policy.from_dict(last.policy)
    assert app.selectbox(key="point").value == last.name
    own = opened(f"model={MODEL}&criterion=margin&thresholds=0.123,0.4")
    assert own.selectbox(key="point").value == "your own"


def test_never_early_runs_the_whole_network_and_no_head_on_the_way() -> None:
    app = opened(f"model={MODEL}")
    app.selectbox(key="point").set_value("never").run()
    assert leaves_at(app) == 2
    assert reading(app, "Compute saved").startswith("0.0")
    assert app.selectbox(key="point").value == "never"


def test_choosing_a_model_and_a_criterion() -> None:
    app = opened(f"model={MODEL}&sample=5")
    app.selectbox(key="criterion").set_value("entropy").run()
    assert link(app)["criterion"] == "entropy"
    app.selectbox(key="model").set_value("resnet8-mnist").run()
    assert errors(app) == []
    assert link(app)["model"] == "resnet8-mnist"
    assert link(app)["sample"] == "5"
    assert policy(app).thresholds == ()


def test_an_upload_is_answered_and_a_dark_digit_on_paper_is_turned_around() -> None:
    samples = load_samples("mnist")
    number = 2600
    paper = 255 - samples.images[number, :, :, 0]
    app = with_upload(png(paper), "scan <b>.png")
    assert errors(app) == []
    assert reading(app, "Answer") == samples.classes[samples.labels[number]]
    assert "Light and dark were exchanged" in html(app)
    assert "scan &lt;b&gt;.png" in html(app)
    assert "not known" in html(app)
    turn = next(one for one in app.segmented_control if one.label == "Light and dark")
    turn.set_value("as they are").run()
    assert "ight and dark were exchanged" not in html(app)


def test_a_network_trained_on_the_samples_turns_a_dark_digit_around_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "lesson"
    shutil.copytree(model_folder(MODEL), folder)
    card = read_json(folder / "card.json") | {"name": "lesson", "dataset": "mnist-samples"}
    write_json(folder / "card.json", card)
    monkeypatch.setenv("EENET_MODELS", str(tmp_path))
    samples = load_samples("mnist")
    app = with_upload(png(255 - samples.images[2600, :, :, 0]), "scan.png", model="lesson")
    assert errors(app) == []
    assert reading(app, "Answer") == samples.classes[samples.labels[2600]]
    assert "Light and dark were exchanged" in html(app)


def test_a_sample_takes_over_from_an_upload() -> None:
    app = with_upload(png(np.zeros((30, 30, 3), np.uint8)), "black.png")
    assert "black.png" in html(app)
    button(app, "Samples").click().run()
    assert errors(app) == []
    assert "black.png" not in html(app)


def test_several_uploads_become_a_table() -> None:
    digits = load_samples("mnist").images[[3, 700, 2222], :, :, 0]
    app = opened(f"model={MODEL}")
    for index, digit in enumerate(digits):
        app.file_uploader[0].upload(f"{index}.png", png(digit), "image/png")
    app.run()
    assert errors(app) == []
    shown = app.dataframe[0].value
    table = load(MODEL).table(digits[..., None])
    answers = route(table, card_of(MODEL).default_policy).answers
    assert shown["answer"].tolist() == [table.classes[answer] for answer in answers]
    assert shown["name"].tolist() == ["0.png", "1.png", "2.png"]


def test_n_and_p_walk_through_uploads() -> None:
    app = opened(f"model={MODEL}")
    for index in (0, 2600, 4000):
        digit = png(load_samples("mnist").images[index, :, :, 0])
        app.file_uploader[0].upload(f"{index}.png", digit, "image/png")
    app.run()
    assert "0.png" in html(app)
    names = ["0.png", "2600.png", "4000.png", "0.png", "4000.png"]
    for key, name in zip("nnnp", names[1:], strict=True):
        step = app.button(key=f"walk-{key}")
        assert step.proto.shortcut == key
        step.click().run()
        assert errors(app) == []
        assert f"<figcaption>{name}" in html(app)
    button(app, "Samples").click().run()
    app.button(key="walk-n").click().run()
    assert "Sample 251 of" in html(app)


def test_one_bad_upload_among_good_ones_is_told_and_left_out() -> None:
    digit = load_samples("mnist").images[3, :, :, 0]
    app = opened(f"model={MODEL}")
    for name, content in (("a.png", png(digit)), ("b.png", b"no"), ("c.png", png(digit))):
        app.file_uploader[0].upload(name, content, "image/png")
    app.run()
    assert len(errors(app)) == 1
    assert "'b.png'" in errors(app)[0]
    assert app.dataframe[0].value["name"].tolist() == ["a.png", "c.png"]


def test_the_blackboard_takes_the_place_of_the_samples_until_one_goes_back() -> None:
    app = opened(f"model={MODEL}")
    button(app, "Draw").click().run()
    assert errors(app) == []
    boards = [data["label"] for data in components(app) if "clear" in data]
    assert boards == ["Draw a digit here, white on black"]
    assert tiles(app, "Sample images") == []
    button(app, "Samples").click().run()
    assert len(tiles(app, "Sample images")) == 20
    assert not any("clear" in data for data in components(app))
    color = opened("model=eenet20-cifar10")
    assert all(one.label != "Draw" for one in color.button)


def test_a_drawing_may_be_shown_to_any_network() -> None:
    page = np.zeros((112, 112), np.uint8)
    page[20:90, 50:60] = 255
    word = kept_pictures().keep([Own("Your drawing", png(page), drawn=True)])
    app = opened(f"model={MODEL}&own={word}")
    assert errors(app) == []
    assert reading(app, "Answer") == "1"
    app.selectbox(key="model").set_value("eenet20-cifar10").run()
    assert errors(app) == []
    assert "Your drawing" in html(app)


def test_a_photo_for_a_digit_network_gets_a_warning() -> None:
    photo = load_samples("cifar10").images[0]
    app = with_upload(png(photo), "photo.png")
    assert errors(app) == []
    assert "its answer may mean nothing" in html(app)
    digit = load_samples("mnist").images[0, :, :, 0]
    assert "may mean nothing" not in html(with_upload(png(digit), "digit.png"))


def test_a_reload_keeps_uploaded_pictures() -> None:
    digits = load_samples("mnist").images[[3, 700], :, :, 0]
    app = opened(f"model={MODEL}")
    for index, digit in enumerate(digits):
        app.file_uploader[0].upload(f"{index}.png", png(digit), "image/png")
    app.run()
    again = opened("&".join(f"{name}={value}" for name, value in link(app).items()))
    assert errors(again) == []
    assert again.dataframe[0].value["name"].tolist() == ["0.png", "1.png"]
    assert link(again) == link(app)


def test_pictures_that_are_no_longer_kept_are_said_to_be_gone() -> None:
    app = opened(f"model={MODEL}&own=no-such-word")
    assert errors(app) == []
    assert ["no longer kept" in one.value for one in app.warning] == [True]
    assert "Sample 1 of" in html(app)


def test_a_test_image_has_one_number_in_titles_and_links(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    labels = shipped_table(MODEL, "test").labels
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28, 1), np.uint8)
    classes = card_of(MODEL).classes
    write_prepared("mnist", "train", pixels[:1], labels[:1], classes, tmp_path)
    write_prepared("mnist", "test", pixels, labels, classes, tmp_path)
    app = opened_page("samples", f"model={MODEL}&of=test&open=158")
    assert "<h2>Test image 158</h2>" in html(app)
    assert link(app)["open"] == "158"
    app = opened(f"model={MODEL}&test=158")
    assert errors(app) == []
    assert "Test image 158 of 10,000" in html(app)
    assert f"<b>{classes[labels[158]]}</b>" in html(app)
    assert link(app)["test"] == "158"


def test_a_test_image_that_is_not_here_is_said() -> None:
    app = opened(f"model={MODEL}&test=20000")
    assert errors(app) == []
    assert ["test image 20,000" in one.value for one in app.warning] == [True]
    assert "Sample 1 of" in html(app)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_spoiling(name: str) -> None:
    app = opened(f"model={MODEL}&spoil={name}&severity=0.5&sample=10")
    assert errors(app) == []
    assert link(app)["spoil"] == name
    assert link(app)["severity"] == "0.5"
    assert len(app.get("plotly_chart")) == 1
    spoiled = corrupt(load_samples("mnist").images[9], name, 0.5)
    table = load(MODEL).table(spoiled[None])
    answer = route(table, card_of(MODEL).default_policy).answers[0]
    assert reading(app, "Answer") == table.classes[answer]


def test_a_corruption_starts_where_it_is_seen() -> None:
    app = opened(f"model={MODEL}")
    app.segmented_control(key="corruption").set_value("rotation").run()
    assert app.slider(key="severity").value > 0
    app.slider(key="severity").set_value(70).run()
    app.segmented_control(key="corruption").set_value("blur").run()
    assert app.slider(key="severity").value == 70


def test_the_classes_that_the_network_knows_are_listed() -> None:
    app = opened("model=eenet20-cifar10")
    assert (
        f"one of these, whatever a picture shows: {', '.join(card_of('eenet20-cifar10').classes)}"
        in html(app)
    )


def test_the_time_is_a_median_with_its_spread_and_a_ratio() -> None:
    app = opened(f"model={MODEL}")
    shown = html(app)
    for _ in range(100):
        if "being measured" not in shown:
            break
        app.run()
        shown = html(app)
    assert re.search(r"half of \d+ runs: [\d.]+ to [\d.]+ ms", shown)
    assert re.search(r"× [\d.]+ the full network \([\d.]+–[\d.]+\)", shown)


@pytest.mark.parametrize("name", SALIENCY)
def test_every_saliency_method(name: str) -> None:
    app = opened(f"model={MODEL}")
    app.segmented_control(key="saliency").set_value(name).run()
    while maps(app)["running"]:  # a browser looks again by itself
        app.run()
    assert errors(app) == []
    assert all(one["map"] for one in maps(app)["maps"])
    assert max(one["peak"] for one in maps(app)["maps"]) > 0


def test_a_picture_of_each_class_stands_beside_its_name() -> None:
    tops = html(opened(f"model={MODEL}")).split('class="ee-tops"')[1]
    assert tops.count("<img src=") == 3 * 5
    assert len({part.split('"')[0] for part in tops.split('<img src="')[1:]}) <= 10


def test_maps_that_take_long_come_exit_by_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(f"model={MODEL}&sample=321")
    monkeypatch.setattr(saliency, "SOON", 0)
    turns = resources.taking_turns()
    with ExitStack() as busy:
        for _ in range(os.cpu_count() or 2):
            busy.enter_context(turns())
        app.segmented_control(key="saliency").set_value("occlusion").run()
        assert [one["map"] for one in maps(app)["maps"]] == [None] * 3
    monkeypatch.setattr(saliency, "SOON", 60)
    app.run()
    assert all(one["map"] for one in maps(app)["maps"])


def bad_images() -> dict[str, bytes]:
    whole = png(np.full((64, 64), 7, np.uint8))
    noise = png(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    huge = io.BytesIO()
    Image.new("1", (9000, 9000)).save(huge, "PNG")
    return {
        "text.png": b"this is no image",
        "empty.png": b"",
        "truncated.png": noise[: len(noise) // 2],
        "header.png": whole[:20],
        "bomb.png": huge.getvalue(),
    }


@pytest.mark.parametrize("name", list(bad_images()))
def test_a_bad_upload_is_a_sentence_and_the_page_goes_on(name: str) -> None:
    app = with_upload(bad_images()[name], name)
    assert len(errors(app)) == 1
    assert errors(app)[0].startswith("This needs ")
    assert not app.exception
    assert html(app).count("data-exit=") == 3


def odd_images() -> dict[str, bytes]:
    colours = np.random.default_rng(0).integers(0, 256, (40, 50, 4), np.uint8)
    made = {}
    for name, image, kind in (
        ("transparent.png", Image.fromarray(colours), "PNG"),
        ("print.jpg", Image.fromarray(colours).convert("CMYK"), "JPEG"),
        ("deep.png", Image.fromarray(np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)), "PNG"),
        ("dot.png", Image.new("RGB", (1, 1)), "PNG"),
        ("line.png", Image.new("L", (1, 5000)), "PNG"),
    ):
        stream = io.BytesIO()
        image.save(stream, kind)
        made[name] = stream.getvalue()
    stream = io.BytesIO()
    frames = [Image.new("P", (20, 20), colour) for colour in range(3)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return made | {"moving.gif": stream.getvalue()}


@pytest.mark.parametrize("name", list(odd_images()))
def test_an_unusual_upload_is_answered(name: str) -> None:
    app = with_upload(odd_images()[name], name)
    assert errors(app) == []
    assert name in html(app)


def test_a_fault_of_ours_is_an_apology_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, pixels: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("app.resources.table_of", broken)
    app = opened(f"model={MODEL}")
    assert len(errors(app)) == 1
    assert "went wrong on our side" in errors(app)[0]
    assert "secret" not in errors(app)[0]


def test_no_models_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.hub.registry.PRETRAINED", tmp_path)
    app = opened()
    assert len(errors(app)) == 1
    assert "core train" in errors(app)[0]


def test_damaged_weights_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PRETRAINED / MODEL, tmp_path / MODEL)
    weights = tmp_path / MODEL / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    monkeypatch.setattr("core.hub.registry.PRETRAINED", tmp_path)
    st.cache_data.clear()  # else the answers of the whole weights are still at hand
    app = opened()
    assert len(errors(app)) == 1
    assert "weights.safetensors" in errors(app)[0]


def test_images_beyond_the_limit_are_left_out_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.components.picture_choice.MOST_UPLOADS", 2)
    app = opened(f"model={MODEL}")
    picture = png(np.zeros((28, 28), np.uint8))
    for number in range(5):
        app.file_uploader[0].upload(f"{number}.png", picture, "image/png")
    app.run()
    assert errors(app) == []
    assert any(one.value.startswith("3 images left out") for one in app.info)


def test_the_least_corruptions_that_send_it_elsewhere_are_found() -> None:
    app = opened(f"model={MODEL}&sample=1")
    button(app, "Look for the least corruptions").click().run()
    assert errors(app) == []
    found = tiles(app, "Corruptions that send the image to another exit")
    assert found
    assert all(tile["notes"][1] != "Exit 1" for tile in found)
    moved = opened(f"model={MODEL}&sample=2")  # another image, another search
    assert not tiles(moved, "Corruptions that send the image to another exit")


def test_the_neighbours_at_every_exit_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.resources.NEIGHBOURS", 40)
    monkeypatch.setattr("app.components.background.SOON", 60)
    resources.RESULTS.clear()
    app = opened(f"model={MODEL}&sample=1")
    button(app, "Look for neighbours").click().run()
    assert errors(app) == []
    found = tiles(app, "Images that look alike to each exit")
    assert len(found) == card_of(MODEL).num_exits * COUNT
    for first in range(0, len(found), COUNT):
        alike = [float(tile["notes"][0]) for tile in found[first : first + COUNT]]
        assert alike == sorted(alike, reverse=True)
    itself = thumbnail(load_samples("mnist").images[0])
    assert itself not in [tile["image"] for tile in found]
    other = opened(f"model={MODEL}&sample=2")  # the images were run once for all
    assert tiles(other, "Images that look alike to each exit")

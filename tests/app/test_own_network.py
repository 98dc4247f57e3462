"""A visitor's own network: attached, trained and opened on every page."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from streamlit.testing.v1 import AppTest

import core
from app.components.pictures import png
from core.hub.registry import tables_of
from tests.app.pages import button, errors, html, link, opened_page
from tests.core.data.pictures import packed

PAGES = ["playground", "thresholds", "samples", "compare", "train", "edge_cloud", "learn", "model"]


@pytest.fixture(scope="module")
def untested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with one that was saved with a calibration table only."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    module = torchvision.models.squeezenet1_1(num_classes=3)
    network = core.attach(module, torch.zeros(1, 3, 32, 32), exits=2)
    model = core.Model.of(network, ["a", "b", "c"], title="Mine")
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    model.save(folder / "mine", calibration=model.table(images, np.arange(12) % 3))
    model.save(folder / "bare")
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_a_model_without_a_test_table_works_on_every_page(
    page: str, untested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EENET_MODELS", str(untested))
    app = opened_page(page, "model=mine")
    assert errors(app) == []
    assert link(app)["model"] == "mine"
    if page in ("thresholds", "samples", "compare", "learn"):
        assert any("no test images were given" in note.value for note in app.info)
    if page == "model":
        assert "right on calibration" in html(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_model_without_any_table_opens_or_says_what_it_lacks(
    page: str, untested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EENET_MODELS", str(untested))
    app = opened_page(page, "model=bare")
    if page in ("thresholds", "samples", "compare", "learn"):
        assert len(errors(app)) == 1
        assert "saved without one" in errors(app)[0]
    else:
        assert errors(app) == []


CLASSES = ("blue", "green", "red")
NETWORK = "show=own&network=torchvision-squeezenet1_1&classes=3&pixels=48&epochs=1"
PATIENCE = 120.0


def coloured(per_class: int = 5, classes: Sequence[str] = CLASSES) -> dict[str, bytes]:
    """Pictures in which a channel of their own is bright, in class folders."""
    random = np.random.default_rng(0)
    files = {}
    for number, name in enumerate(classes):
        for index in range(per_class):
            pixels = random.integers(0, 60, (48, 48, 3), dtype=np.uint8)
            pixels[..., 2 - number] += 150
            files[f"set/{name}/{index}.png"] = png(pixels)
    return files


def opened(query: str = "", files: dict[str, bytes] | None = None) -> AppTest:
    app = opened_page("model", f"{NETWORK}&{query}")
    if files is not None:
        app.file_uploader(key="own-pictures").upload("colours.zip", packed(files), "x/zip").run()
    return app


def trained(app: AppTest) -> AppTest:
    button(app, "Train the exits").click().run()
    assert errors(app) == []
    job = app.session_state["own-network-draft"].job
    assert job is None or job.wait(PATIENCE)
    return app.run()


def weights_of(module: torch.nn.Module) -> bytes:
    content = io.BytesIO()
    wrapped = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save({"state_dict": wrapped, "epoch": 3}, content)
    return content.getvalue()


def test_the_places_for_exits_are_drawn_and_chosen() -> None:
    app = opened()
    assert errors(app) == []
    points = core.cut_points(
        torchvision.models.squeezenet1_1(num_classes=3), torch.zeros(1, 3, 48, 48)
    )
    drawn = html(app).split("ee-ticks", 1)[1].split("</div>", 1)[0]
    assert drawn.count("<i ") == len(points)
    assert drawn.count("data-chosen") == 3
    exits = app.multiselect(key="own-network-exits")
    exits.set_value([points[0].name]).run()
    assert errors(app) == []
    assert link(app)["exits"] == points[0].name
    assert html(app).split("ee-ticks", 1)[1].count("data-chosen") == 1
    assert "random weights" in app.caption[0].value
    assert button(app, "Train the exits").disabled


def test_a_network_is_trained_on_a_zip_and_opens_on_every_page() -> None:
    app = trained(opened("train=joint&epochs=2", coloured()))
    assert errors(app) == []
    assert "on every page" in html(app)
    name = app.session_state["own-models"].folder / "trained-here-1"
    card = core.load(name).card
    assert card.classes == CLASSES
    assert card.dataset == "own-colours"
    assert card.per_exit_accuracy.keys() == {"calibration", "test"}
    assert button(app, "Open in Samples")
    pictures = app.session_state["own-models"].pictures["trained-here-1"]
    assert pictures.images.shape == (3, 48, 48, 3)


def test_a_calibration_split_that_was_brought_is_used_and_few_pictures_are_said_to_be_few() -> None:
    files = {
        f"set/{split}/{name.split('/', 1)[1]}": content
        for split, count in (("train", 5), ("val", 4), ("test", 2))
        for name, content in coloured(count).items()
    }
    app = opened("train=joint&epochs=2", files)
    assert "Calibration: as brought. Test: as brought." in html(app)
    trained(app)
    assert errors(app) == []
    folder = app.session_state["own-models"].folder / "trained-here-1"
    tables = tables_of(folder)
    assert {split: len(table) for split, table in tables.items()} == {"calibration": 12, "test": 6}
    assert any("With 12 calibration images" in one.value for one in app.warning)


def test_who_says_that_the_weights_know_the_pictures_is_warned() -> None:
    app = opened("train=joint&epochs=2", coloured())
    assert not any("learned from" in one.label for one in app.checkbox)
    weights = weights_of(torchvision.models.squeezenet1_1(num_classes=3))
    app.file_uploader(key="own-weights").upload("mine.pth", weights, "x/pth").run()
    app.checkbox(key="own-network-seen").check().run()
    trained(app)
    assert errors(app) == []
    assert any("has learned from the calibration images" in one.value for one in app.warning)


def test_weights_are_checked_where_they_are_given() -> None:
    app = opened()
    weights = weights_of(torchvision.models.squeezenet1_1(num_classes=3))
    app.file_uploader(key="own-weights").upload("mine.pth", weights, "x/pth").run()
    assert errors(app) == []
    assert "mine.pth fits" in app.success[0].value
    assert app.segmented_control(key="own-network-preset").value == "frozen-exits"
    app.number_input(key="own-network-classes").set_value(4).run()
    assert "4 classes" in errors(app)[0]


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (b"no weights", "w.pth", "damaged"),
        (b"no weights", "w.safetensors", "damaged"),
        (weights_of(torch.nn.Sequential(*[torch.nn.Linear(2, 2)] * 6)), "w.pt", "and 7 more"),
    ],
)
def test_weights_of_something_else_are_a_sentence(content: bytes, name: str, says: str) -> None:
    app = opened("", coloured())
    app.file_uploader(key="own-weights").upload(name, content, "x/weights").run()
    assert len(errors(app)) == 1
    assert says in errors(app)[0]
    assert name in errors(app)[0]
    assert "/tmp" not in errors(app)[0]
    assert button(app, "Train the exits").disabled


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.png": b"x"}, "at least two classes"),
        (coloured(classes=["cat"]), "the only folder is 'cat'"),
        (coloured(per_class=2), "at least 5 pictures of every class"),
        ({}, "it is empty"),
    ],
)
def test_pictures_that_cannot_train_are_a_sentence(files: dict[str, bytes], says: str) -> None:
    app = opened("", files)
    assert len(errors(app)) == 1
    assert says in errors(app)[0]


def test_weights_that_know_nothing_of_the_pictures_stop_before_the_training() -> None:
    app = opened("epochs=2", coloured(20))
    weights = weights_of(torchvision.models.squeezenet1_1(num_classes=3))
    app.file_uploader(key="own-weights").upload("mine.pth", weights, "x/pth").run()
    trained(app)
    assert len(errors(app)) == 1
    assert "may be chance" in errors(app)[0]
    assert not list(app.session_state["own-models"].folder.glob("*/card.json"))


def test_a_training_can_be_called_off() -> None:
    app = opened("epochs=60", coloured(20))
    button(app, "Train the exits").click().run()
    assert errors(app) == []
    job = app.session_state["own-network-draft"].job
    button(app, "Cancel").click().run()
    assert job.wait(PATIENCE)
    app.run()
    assert errors(app) == []
    assert not list(app.session_state["own-models"].folder.glob("*/card.json"))
    assert not button(app, "Train the exits").disabled


def test_a_factory_that_the_server_was_started_with_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my_nets.py"
    file.write_text(
        "from torch import nn\n\n\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2),\n"
        "        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))\n"
    )
    monkeypatch.setenv("EENET_FACTORY", f"{file}:make")
    app = opened_page("model", "show=own&network=factory&classes=3&pixels=32&train=joint&epochs=2")
    app.file_uploader(key="own-pictures").upload("colours.zip", packed(coloured()), "x/zip").run()
    trained(app)
    assert errors(app) == []
    app.segmented_control(key="model-page").set_value("model").run()
    app.selectbox(key="model").set_value("trained-here-1").run()
    assert errors(app) == []
    assert html(app).count('<li class="ee-card">') == 2
    button(app, "Measure here").click().run()
    assert errors(app) == []

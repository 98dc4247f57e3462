import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import resources, text
from app.components.sample_filters import Filters
from app.components.score_range import range_in
from app.components.slices import MOST_KEPT
from app.state import from_query, to_query
from core.analysis.samples import Selection, exit_groups, select
from core.analysis.slices import by_class, slices
from core.data.prepared import ImageSet, write_prepared
from core.data.samples import load_samples, sample_names
from core.data.sources import DATASETS, Request, can_download
from core.exits.policy import Policy
from core.exits.routing import Routing, route
from core.foundation.errors import UserError
from core.hub.model import load
from core.hub.registry import card_of, shipped_models, shipped_table
from tests.app.pages import button, components, errors, exit_cards, html, link, opened_page, tiles

MODEL = "eenet8-mnist"
POLICY = Policy("max_probability", [0.9, 0.8])
PATIENCE = 120.0
QUERY = f"model={MODEL}&criterion=max_probability&thresholds=0.9,0.8"


@pytest.fixture(autouse=True)
def empty_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data set lies on the disk, unless a test puts one there."""
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    return tmp_path


def opened(query: str) -> AppTest:
    return opened_page("samples", query)


def samples(split: str = "calibration") -> Routing:
    return route(shipped_table(MODEL, split), POLICY)


def numbers(app: AppTest) -> list[int]:
    return [tile["number"] for tile in tiles(app)]


@pytest.mark.parametrize("name", shipped_models())
def test_every_model_shows_its_samples_without_any_data_set(name: str) -> None:
    app = opened(f"model={name}")
    assert errors(app) == []
    card = card_of(name)
    assert f"python -m core data prepare {card.dataset}" in app.info[0].value
    shown = tiles(app)
    ships = card.dataset in sample_names()
    transform = card.evaluation_transform
    count = len(load_samples(card.dataset, transform=transform)) if ships else 10_000
    assert len(shown) == min(48, count)
    assert all(bool(tile["image"]) == ships for tile in shown)


def test_the_cards_count_who_leaves_where() -> None:
    app = opened(QUERY)
    everyone, *exits = exit_cards(app)
    assert everyone["count"] == "5,000"
    assert everyone["chosen"]
    expected = exit_groups(samples())
    assert [card["count"] for card in exits] == [f"{one.count:,}" for one in expected]
    assert [card["width"] for card in exits] == [one.share for one in expected]


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("exit=2", Selection(exit_index=1)),
        ("class=7&answer=wrong", Selection(label=7, right=False)),
        ("flip=rescued&order=least_sure", Selection(flip="rescued", order="least_sure")),
        ("from=0.5&to=0.8&order=most_sure", Selection(low=0.5, high=0.8, order="most_sure")),
        ("exit=1&answer=right&flip=ruined", Selection(exit_index=0, right=True, flip="ruined")),
    ],
)
@pytest.mark.parametrize("split", ["calibration", "test"])
def test_a_link_selects(query: str, asked: Selection, split: str) -> None:
    of = "samples" if split == "calibration" else "test"
    app = opened(f"{QUERY}&of={of}&{query}")
    assert errors(app) == []
    expected = select(samples(split), asked)
    assert numbers(app) == expected[:48].tolist()
    if len(expected):
        assert f"{len(expected):,} of {len(samples(split)):,} images" in html(app)
    else:
        assert "No image is like that" in app.info[-1].value


def test_a_tile_says_what_was_answered_and_where() -> None:
    table = shipped_table(MODEL, "test")
    decision = route(table, POLICY)
    for tile in tiles(opened(f"{QUERY}&of=test&answer=wrong")):
        position = tile["number"]
        assert tile["image"] is None  # it is not on the disk
        assert tile["answer"] == table.classes[decision.answers[position]]
        assert tile["truth"] == table.classes[table.labels[position]] != tile["answer"]
        assert tile["right"] is False
        assert tile["notes"][0] == ["Exit 1", "Exit 2", "Final exit"][decision.exits[position]]


def test_filters_are_set_by_hand_and_cleared() -> None:
    app = opened(f"{QUERY}&from=0.5&to=0.95")
    app.selectbox(key="class").set_value("3").run()
    app.segmented_control(key="verdict").set_value("wrong").run()
    app.selectbox(key="order").set_value("least_sure").run()
    assert errors(app) == []
    asked = Selection(label=3, right=False, low=0.5, high=0.95, order="least_sure")
    assert numbers(app) == select(samples(), asked)[:48].tolist()
    shown = link(app)
    assert (shown["class"], shown["answer"], shown["from"]) == ("3", "wrong", "0.5")
    button(app, "Clear the filters").click().run()
    assert numbers(app) == select(samples(), Selection(order="least_sure"))[:48].tolist()
    assert "class" not in link(app)


def test_pages_follow_one_another_and_a_filter_starts_at_the_first() -> None:
    app = opened(QUERY)
    app.button(key="page-next").click().run()
    assert numbers(app) == list(range(48, 96))
    app.number_input(key="page").set_value(105).run()
    assert numbers(app) == list(range(4992, 5000))
    assert app.button(key="page-next").disabled
    app.segmented_control(key="flip").set_value("rescued").run()
    assert "page" not in link(app)
    assert numbers(app) == select(samples(), Selection(flip="rescued"))[:48].tolist()


def test_an_open_sample_shows_what_every_exit_said() -> None:
    app = opened(f"{QUERY}&open=1235")
    assert errors(app) == []
    model = load(MODEL)
    images = load_samples("mnist")
    result = model.predict(images.images[1234:1235], POLICY)
    shown = html(app)
    assert "<h2>Sample 1,235</h2>" in shown
    assert f"It is <b>{images.classes[images.labels[1234]]}</b>" in shown
    assert f'data-exit="{result.exits[0]}" data-state="left"' in shown
    assert shown.count("data-exit=") == 3
    assert any(one.label == "Open in the Playground" for one in app.button)


def test_without_its_picture_a_sample_still_opens_but_not_in_the_playground() -> None:
    app = opened(f"{QUERY}&of=test&open=9999")
    assert "<h2>Test image 9,999</h2>" in html(app)
    assert not [one for one in app.button if one.label == "Open in the Playground"]


def test_what_is_browsed_comes_back_from_its_parameters() -> None:
    everything = Filters("test", 2, "7", "wrong", "ruined", 0.25, 0.5, "most_sure", 3, 17)
    assert from_query(Filters, to_query(everything)) == everything
    assert to_query(Filters()) == {}
    assert from_query(Filters, {}) == Filters()


def test_another_model_keeps_the_filters_that_it_knows() -> None:
    app = opened(f"{QUERY}&exit=2&class=7")
    app.selectbox(key="model").set_value("resnet8-mnist").run()
    assert errors(app) == []
    assert all(tile["truth"] == "7" for tile in tiles(app))
    app.selectbox(key="model").set_value("resnet20-cifar10").run()
    assert errors(app) == []
    assert len(tiles(app)) == 20


def brushed(app: AppTest) -> dict[str, Any]:
    (data,) = [data for data in components(app) if "below" in data]
    return data


def test_the_histogram_shows_all_scores_and_what_is_chosen_of_them() -> None:
    app = opened(f"{QUERY}&from=0.5&to=0.95&answer=wrong&class=3")
    shown = brushed(app)
    scores = samples().scores[select(samples(), Selection(label=3, right=False))]
    assert (shown["low"], shown["high"]) == (0.5, 0.95)
    assert (sum(shown["up"]["counts"]), sum(shown["down"]["counts"])) == (0, len(scores))
    assert shown["at_most"][-1] - shown["below"][0] == len(scores)
    assert shown["at_most"][95] - shown["below"][50] == len(tiles(app))
    app.segmented_control(key="verdict").set_value("any").run()
    again = brushed(app)
    assert (again["low"], again["high"]) == (0.5, 0.95)  # it outlives other filters
    assert sum(again["up"]["counts"]) > 0
    assert again["up"]["name"] == "right"


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ([0.25, 0.5], (0.25, 0.5)),
        ([0, 1], (0.0, 1.0)),
        ([0.5, 0.25], None),
        ([-1, 2], None),
        ([float("nan"), 1], None),
        (["a", "b"], None),
        ([[], {}], None),
        ([0.5], None),
        ("ab", None),
        (None, None),
    ],
)
def test_only_a_range_is_taken_from_a_browser(sent: Any, found: tuple[float, float] | None) -> None:
    assert range_in(sent) == found


class Source:
    """A data set that arrives when it is let go, or does not."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.mistake = ""

    def __call__(self, request: Request) -> tuple[ImageSet, ImageSet]:
        while not self.let_go.wait(0.001):
            request.on_progress(0.4, "Downloading file 1 of 4")
            self.begun.set()
        if self.mistake:
            raise UserError(self.mistake)
        classes = card_of(MODEL).classes
        part = ImageSet.counted("mnist", "test", self.images, self.labels, classes)
        return part.select([0]), part


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    labels = shipped_table(MODEL, "test").labels
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28, 1), np.uint8)
    found = Source(images, labels)
    monkeypatch.setitem(DATASETS, "mnist", found)
    yield found
    found.let_go.set()
    job = resources.downloads().of("mnist")
    assert job is None or job.wait(PATIENCE)


def download(app: AppTest) -> AppTest:
    button(app, "Download MNIST").click().run()
    return app


def arrived() -> None:
    job = resources.downloads().of("mnist")
    assert job is not None
    assert job.wait(PATIENCE)


def test_a_data_set_is_downloaded_while_one_looks_on(source: Source) -> None:
    app = download(opened(QUERY))
    assert errors(app) == []
    assert source.begun.wait(PATIENCE)
    app.run()
    progress = app.get("progress")[0].proto
    assert (progress.value, progress.text) == (40, "Downloading file 1 of 4")
    assert len(tiles(app)) == 48  # what is there can be looked at meanwhile
    other = opened(QUERY)
    assert other.get("progress")  # somebody else waits for the same
    assert not [one for one in other.button if one.label == "Download MNIST"]
    source.let_go.set()
    arrived()
    app.run()
    assert errors(app) == []
    assert not app.info
    app.segmented_control(key="source").set_value("test").run()
    assert all(tile["image"] for tile in tiles(app))


def test_a_download_can_be_called_off(source: Source, empty_root: Path) -> None:
    app = download(opened(QUERY))
    assert source.begun.wait(PATIENCE)
    app.run()
    app.button(key="call-off").click().run()
    arrived()
    app.run()
    assert errors(app) == []
    assert list(empty_root.iterdir()) == []
    assert [one for one in app.button if one.label == "Download MNIST"]


def test_a_download_that_fails_is_a_sentence_and_may_be_tried_again(source: Source) -> None:
    source.mistake = "expected to download mnist, but got: nobody answers; try again."
    source.let_go.set()
    app = download(opened(QUERY))
    arrived()
    app.run()
    assert errors(app) == [text.told(source.mistake)]
    assert len(tiles(app)) == 48
    source.mistake = ""
    app = download(app)
    arrived()
    app.run()
    assert errors(app) == []
    assert not app.info


def test_one_download_at_a_time(source: Source) -> None:
    download(opened(QUERY))
    app = opened("model=resnet20-cifar10")
    button(app, "Download CIFAR-10").click().run()
    assert "mnist is being downloaded" in errors(app)[0]
    assert not app.exception


@pytest.mark.parametrize("name", shipped_models())
def test_what_cannot_be_downloaded_says_what_to_do_instead(name: str) -> None:
    app = opened(f"model={name}&of=test")
    dataset = card_of(name).dataset
    offered = [one.label for one in app.button if one.label.startswith("Download")]
    assert offered == ([f"Download {text.dataset(dataset)}"] if can_download(dataset) else [])
    command = f"python -m core data prepare {dataset}"
    assert (f"{command} --from DIR" in app.info[0].value) != bool(offered)


def put_test_images(root: Path, labels: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (len(labels), 28, 28, 1), np.uint8)
    classes = card_of(MODEL).classes
    write_prepared("mnist", "train", images[:1], labels[:1], classes, root)
    write_prepared("mnist", "test", images, labels, classes, root)
    return images


def test_pictures_on_the_disk_are_shown(empty_root: Path) -> None:
    put_test_images(empty_root, shipped_table(MODEL, "test").labels)
    app = opened(f"{QUERY}&open=5")
    assert errors(app) == []
    assert not app.info
    assert exit_cards(app)[0]["count"] == "10,000"
    assert all(tile["image"] for tile in tiles(app))
    assert any(one.label == "Open in the Playground" for one in app.button)


def test_other_pictures_of_that_name_are_not_shown_as_if_they_were_those(empty_root: Path) -> None:
    put_test_images(empty_root, np.roll(shipped_table(MODEL, "test").labels, 1))
    app = opened(f"{QUERY}&of=test")
    assert errors(app) == []
    assert "are not those" in app.info[0].value
    assert not any(tile["image"] for tile in tiles(app))


def test_a_damaged_data_set_is_a_sentence_and_the_page_goes_on(empty_root: Path) -> None:
    (empty_root / "mnist").mkdir()
    (empty_root / "mnist" / "test.npz").write_bytes(b"PK nothing else")
    app = opened(QUERY)
    assert errors(app) == []
    assert "cannot be shown: This needs" in app.info[0].value
    assert len(tiles(app)) == 48


@pytest.mark.data
def test_the_real_test_images_are_those_of_the_table(
    prepared_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EENET_DATA", str(prepared_root))
    app = opened(QUERY)
    assert not app.info
    assert all(tile["image"] for tile in tiles(app))


def test_the_extremes_are_those_of_each_exit() -> None:
    scores = samples().scores
    exits = samples().exits
    shown = tiles(opened(QUERY), "Extremes of each exit")
    first = [scores[tile["number"]] for tile in shown if exits[tile["number"]] == 0]
    assert len(first) == 8
    assert max(first) == scores[exits == 0].max()
    assert min(first) == scores[exits == 0].min()


def test_temperatures_count() -> None:
    table = shipped_table(MODEL, "calibration")
    policy = Policy("max_probability", [0.9, 0.8], temperatures=[2, 3, 1])
    app = opened(f"{QUERY}&temperatures=2,3,1")
    expected = exit_groups(route(table, policy))
    assert [card["count"] for card in exit_cards(app)[1:]] == [f"{one.count:,}" for one in expected]


def test_what_goes_along_with_leaving_late_is_told_with_its_pictures() -> None:
    app = opened(QUERY)
    assert errors(app) == []
    assert "What goes along with leaving late" in html(app)
    shipped = load_samples("mnist")
    routing = samples()
    why = app.selectbox(key="why")
    assert set(why.options) >= {"Brightness", "Fine detail", "Even the last exit is wrong"}
    assert "Colour" not in why.options  # of grey pictures
    why.select("brightness").run()
    shown = [tile["number"] for tile in tiles(app, "Pictures by Brightness")]
    least, most = shown[:6], shown[6:]
    brightness = shipped.images.mean(axis=(1, 2, 3))
    assert brightness[least].max() < np.median(brightness) < brightness[most].min()
    assert link(app)["why"] == "brightness"
    label = next(name for name in why.options if name.startswith("Class ")).removeprefix("Class ")
    number = shipped.classes.index(label)
    app.selectbox(key="why").select(f"class:{number}").run()
    shown = [tile["number"] for tile in tiles(app, f"Pictures by Class {label}")]
    first, last = shown[:6], shown[6:]
    assert set(shipped.labels[first + last]) == {number}
    assert routing.exits[first].max() <= routing.exits[last].min()


def test_where_all_leave_together_nothing_goes_along_and_that_is_said() -> None:
    app = opened(f"model={MODEL}&criterion=max_probability&thresholds=1,1")
    assert errors(app) == []
    assert any("leave at the same exit" in one.value for one in app.info)


def test_without_pictures_classes_and_answers_are_still_compared() -> None:
    app = opened(f"{QUERY}&of=test")
    assert errors(app) == []
    options = app.selectbox(key="why").options
    assert "Even the last exit is wrong" in options
    assert "Brightness" not in options


def keep(app: AppTest, name: str) -> AppTest:
    app.text_input(key="slice-name").set_value(name)
    button(app, "Keep this selection").click().run()
    assert errors(app) == []
    return app


def slice_rows(app: AppTest) -> list[str]:
    return (
        html(app)
        .split("ee-slices", 1)[1]
        .split("<tbody>")[1]
        .split("</tbody>")[0]
        .split("<tr>")[1:]
    )


def test_the_classes_are_slices_with_the_worst_on_top() -> None:
    app = opened(QUERY)
    routing = samples()
    worst, *_ = found = slices(routing, by_class(routing))
    rows = slice_rows(app)
    assert len(rows) == len(found) == 10
    assert f">{worst.name}<" in rows[0]
    assert text.apart(worst.accuracy.difference) in rows[0]
    assert ("*" in rows[0]) == (worst.accuracy.certain or worst.relative_cost.certain)


def test_a_selection_is_kept_shown_again_and_deleted() -> None:
    app = keep(opened(f"{QUERY}&class=3&answer=wrong"), "  odd   threes ")
    (row,) = slice_rows(app)
    count = len(select(samples(), Selection(label=3, right=False)))
    assert f'odd threes<small class="ee-range">3, wrong</small></th><td>{count:,}</td>' in row
    assert "by its filters" in row
    button(app, "Clear the filters").click().run()
    assert button(app, "Keep this selection").disabled
    app.pills(key="kept-slice").set_value("odd threes").run()
    assert (link(app)["class"], link(app)["answer"]) == ("3", "wrong")
    assert numbers(app) == select(samples(), Selection(label=3, right=False))[:48].tolist()
    button(app, "Delete this slice").click().run()
    assert errors(app) == []
    assert any("No slice is kept yet" in one.value for one in app.info)


def test_a_slice_without_a_name_is_called_by_its_filters_and_is_one_of_other_models_too() -> None:
    app = keep(opened(f"{QUERY}&class=7&exit=3"), "")
    assert ">Final exit, 7<" in slice_rows(app)[0]
    app.selectbox(key="model").set_value("resnet8-mnist").run()
    assert errors(app) == []
    assert any(
        one.value.endswith(r"Final exit\, 7.") for one in app.caption
    )  # this one has a single exit
    app.selectbox(key="model").set_value("branchy8-mnist").run()
    assert errors(app) == []
    assert ">Final exit, 7<" in slice_rows(app)[0]


def test_a_name_is_text_and_so_many_are_kept() -> None:
    name = "=<img src=x onerror=alert(1)> **b** `c`"
    app = keep(opened(f"{QUERY}&class=3"), name)
    assert "=&lt;img src=x onerror=alert(1)&gt; **b** `c`" in slice_rows(app)[0]
    assert "<img src=x" not in html(app)
    assert "\\<img" in app.pills(key="kept-slice").proto.options[0].content
    for number in range(MOST_KEPT - 1):
        keep(app, f"slice {number}")
    assert button(app, "Keep this selection").disabled
    assert len(slice_rows(app)) == MOST_KEPT

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.components.sample_filters import Filters
from core.analysis.compare import compare
from core.analysis.samples import Selection, select
from core.data.prepared import write_prepared
from core.deploy.benchmark import Latency
from core.exits.policy import Policy
from core.hub.registry import card_of, shipped_models, shipped_table
from tests.app.pages import button, components, errors, html, link, opened_page, percent, reading

MODEL, PLAIN, OTHER_DATA = "eenet8-mnist", "resnet8-mnist", "resnet20-cifar10"
A = f"model={MODEL}&criterion=margin&thresholds=0.9,0.8"
B = f"b-model={MODEL}&b-criterion=entropy&b-thresholds=0.5,0.5"


def opened(query: str = "") -> AppTest:
    return opened_page("compare", query)


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
    assert [one.key for one in app.get("plotly_chart")].count("compare-chart") == 1


@pytest.mark.parametrize(
    ("kept", "selection", "ranged"),
    [
        (Filters(label="3"), Selection(label=3), True),
        (Filters(exit_number=2), Selection(exit_index=1), False),
    ],
)
def test_a_kept_slice_has_its_own_figures(
    kept: Filters, selection: Selection, ranged: bool
) -> None:
    app = AppTest.from_function(_with_slice, default_timeout=60, args=(kept,))
    for name, value in parse_qsl(f"{A}&{B}"):
        app.query_params[name] = value
    app.run()
    app.selectbox(key="compare-slice").set_value("mine").run()
    assert errors(app) == []
    table = shipped_table(MODEL, "test")
    whole = compare(table, Policy("margin", [0.9, 0.8]), table, Policy("entropy", [0.5, 0.5]))
    positions = select(whole.a, selection)
    found = whole.select(positions)
    assert len(found) == len(positions) < len(whole)
    for report in (found.first, found.second):
        assert percent(report.accuracy, 2) in figures(app)
        assert percent(report.relative_cost, 1) in figures(app)
    assert any(f"the {len(positions):,} images of this slice" in one.value for one in app.caption)
    accuracy = figures(app).split("Relative cost")[0]
    assert ("ee-range" in accuracy) == ranged


def _with_slice(kept: object) -> None:
    from app.components.slices import kept_slices
    from app.views.compare import page

    kept_slices()["mine"] = kept  # type: ignore[assignment]
    page()


@pytest.mark.parametrize("name", shipped_models())
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
    assert card_of(str(link(app)["b-model"])).dataset == card_of(MODEL).dataset
    offered = app.selectbox(key="B-model").options
    assert card_of(OTHER_DATA).title not in offered
    app.selectbox(key="A-model").set_value(OTHER_DATA).run()
    assert errors(app) == []
    assert card_of(str(link(app)["b-model"])).dataset == "cifar10"
    assert "no images in common" in html(app)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("eenet-lite0-photos", "ptee-lite0-photos"),  # the other method on the same backbone
        ("resnet56-50-cifar10", "eenet56-cifar10"),  # of networks with exits, that of its size
    ],
)
def test_at_first_b_is_the_network_with_exits_that_is_most_like_a(a: str, b: str) -> None:
    assert link(opened(f"model={a}"))["b-model"] == b


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
    assert errors(app)[0].startswith("This needs")
    assert link(app) == before
    app.selectbox(key="A-criterion").set_value("entropy").run()
    assert errors(app) == []


def measure(app: AppTest) -> AppTest:
    return button(app, "Measure here").click().run()  # type: ignore[no-any-return]


def test_times_are_shown_until_the_configuration_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def raced(
        entries: list[object], images: object, sizes: tuple[int, ...], chosen: list[object]
    ) -> dict[int, list[tuple[Latency, ...]]]:
        assert (len(entries), len(chosen)) == (2, 1)
        ms = 0.001
        one = (Latency((1 * ms, 1 * ms, 4 * ms), 3), Latency((1 * ms,) * 3, 3))
        return {1: [one], 64: [(Latency((64 * ms,), 64), Latency((16 * ms,), 64))]}

    monkeypatch.setattr("app.resources.timed", raced)
    app = opened(f"{A}&{B}")
    assert "measure it" in figures(app)
    measure(app)
    assert errors(app) == []
    assert '2.00 ms<small class="ee-range">1.00 ms · 3.70 ms</small>' in figures(app)
    assert "× 0.50" in figures(app)
    assert "× 0.25" in figures(app)
    app.text_input(key="B-thresholds").set_value("0.4, 0.4").run()
    assert "measure it" in figures(app)
    assert "× 0.50" not in figures(app)


def test_both_networks_really_run_in_every_runtime_that_is_installed() -> None:
    app = opened(f"{A}&b-model={PLAIN}")
    runtimes = app.multiselect(key="compare-runtimes")
    assert runtimes.value == ["PyTorch, float32"]
    assert {one.partition(",")[0] for one in runtimes.options} == {
        *("PyTorch", "ONNX Runtime", "OpenVINO")
    }
    runtimes.set_value(runtimes.options).run()
    measure(app)
    assert errors(app) == []
    assert "measure it" not in figures(app)
    assert all(figures(app).count(one) == 2 for one in runtimes.options)
    assert figures(app).count("× ") == 1 + 2 * len(runtimes.options)
    app.multiselect(key="compare-runtimes").set_value([]).run()
    assert button(app, "Measure here").disabled


def test_without_any_picture_there_is_nothing_to_measure_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    monkeypatch.setattr("app.resources.samples", lambda dataset: None)
    app = measure(opened(f"{A}&{B}"))
    assert len(errors(app)) == 1
    assert "core data prepare mnist" in errors(app)[0]


LIST = "Images that change from A to B"


def changed_rows(app: AppTest) -> tuple[list[dict[str, Any]], bool]:
    (data,) = [data for data in components(app) if data.get("label") == LIST]
    return data["rows"], data["opens"]


def test_the_images_that_change_are_listed_with_what_both_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    app = opened(f"{A}&{B}&change=to_wrong&change-order=data")
    assert errors(app) == []
    table = shipped_table(MODEL, "test")
    both = compare(table, Policy("margin", [0.9, 0.8]), table, Policy("entropy", [0.5, 0.5]))
    positions = both.changed("to_wrong", "data").tolist()
    rows, opens = changed_rows(app)
    assert [row["number"] for row in rows] == positions[:20]
    for row in rows:
        position = row["number"]
        assert row["name"] == f"Test image {table.ids[position]:,}"
        assert row["truth"] == row["a"]["answer"] == table.classes[table.labels[position]]
        assert row["b"]["answer"] == table.classes[both.b.answers[position]]
        assert (row["a"]["right"], row["b"]["right"]) == (True, False)
        assert row["image"] is None
    assert not opens
    assert "core data prepare mnist" in app.info[0].value


def test_the_list_counts_filters_and_turns_pages() -> None:
    app = opened(f"{A}&b-model={MODEL}&b-criterion=entropy&b-thresholds=0.2,0.2")
    pills = app.pills(key="change")
    assert pills.value == "all"
    counts = [int(text.split(": ")[1].replace(",", "")) for text in pills.options]
    assert counts[0] == sum(counts[1:])
    first = changed_rows(app)[0]
    app.button(key="change-page-next").click().run()
    assert errors(app) == []
    assert link(app)["change-page"] == "2"
    assert changed_rows(app)[0] != first
    app.selectbox(key="change-order").set_value("least_sure").run()
    assert "change-page" not in link(app)
    assert link(app)["change-order"] == "least_sure"
    app.pills(key="change").set_value("other_exit").run()
    assert errors(app) == []
    assert {row["change"] for row in changed_rows(app)[0]} == {"Only another exit"}
    assert link(app)["change"] == "other_exit"


def test_pictures_on_the_disk_are_shown_and_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    table = shipped_table(MODEL, "test")
    images = np.zeros((len(table), 28, 28, 1), np.uint8)
    write_prepared("mnist", "train", images[:1], table.labels[:1], table.classes, tmp_path)
    write_prepared("mnist", "test", images, table.labels, table.classes, tmp_path)
    app = opened(f"{A}&{B}")
    assert errors(app) == []
    rows, opens = changed_rows(app)
    assert opens
    assert all(row["image"].startswith("data:image/png") for row in rows)


def test_where_nothing_changes_there_is_no_list() -> None:
    app = opened(f"{A}&b-model={MODEL}&b-criterion=margin&b-thresholds=0.9,0.8")
    assert errors(app) == []
    assert "the same answer at the same exit" in app.info[0].value
    assert not app.pills


def test_networks_of_other_sizes_are_compared_in_macs() -> None:
    app = opened(f"{A}&b-model=eenet20-mnist")
    assert errors(app) == []
    lines = figures(app).split("<tr>")
    (cost,) = [line for line in lines if ">Relative cost<" in line]
    assert cost.split("<td>")[-1].startswith("–</td>")
    (macs,) = [line for line in lines if ">MACs per image<" in line]
    assert "× " in macs
    assert "factors along the axis" in html(app)

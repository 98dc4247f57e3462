import json
import shutil
from pathlib import Path

import pytest

from core.deploy import benchmark
from core.deploy.benchmark import PartTimes
from core.edge_cloud import measure
from core.edge_cloud.plan import TrainingTimes
from core.foundation.places import PRETRAINED
from core.hub.model import Model
from tests.app.pages import errors, html, link, opened_page, reading

MODEL, PLAIN, DEEP = "eenet8-mnist", "resnet8-mnist", "eenet20-cifar10"
TIMES = TrainingTimes(128, 1, (0.1,) * 3, (0.2,) * 3, (0.01,) * 3, (0.02,) * 3)
ANSWERING = f"model={DEEP}&show=answering"


def part_times(model: Model, images: object, batch_size: int) -> PartTimes:
    exits = model.network.num_exits
    return PartTimes(batch_size, 1, (0.002,) * exits, (0.0001,) * exits, 0.002 * exits)


@pytest.fixture(autouse=True)
def measured_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "time_training", lambda spec, batch_size: TIMES)
    monkeypatch.setattr(benchmark, "time_parts", part_times)


def test_a_split_is_planned_and_the_quickest_named() -> None:
    app = opened_page("edge_cloud", f"model={MODEL}")
    assert errors(app) == []
    shown = html(app)
    for title in ("Split at Exit 2", "All on the edge", "All in the cloud"):
        assert f"<dt>{title}</dt>" in shown
    assert shown.count('class="ee-lane"') == 3
    assert 'role="img" aria-label="Time line of 4 batches' in shown


def test_a_slow_link_favours_the_edge_and_a_fast_one_the_cloud() -> None:
    app = opened_page("edge_cloud", f"model={MODEL}&rate=100000&speed=20")
    assert reading(app, "Quickest at this rate") == "All on the edge"
    app.select_slider(key="plans-rate").set_value(5e10).run()
    assert errors(app) == []
    assert reading(app, "Quickest at this rate") == "All in the cloud"


def test_fewer_bits_send_less() -> None:
    app = opened_page("edge_cloud", f"model={MODEL}&bits=32")
    before = html(app)
    app.selectbox(key="plans-bits").set_value(8).run()
    assert errors(app) == []
    assert html(app) != before
    assert link(app)["bits"] == "8"


def test_a_plain_model_has_nowhere_to_split() -> None:
    app = opened_page("edge_cloud", f"model={PLAIN}")
    assert errors(app) == []
    assert "no early exits" in html(app)
    assert "ee-lane" not in html(app)


def test_measured_figures_come_from_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PRETRAINED / MODEL, tmp_path / MODEL)
    path = tmp_path / MODEL / "card.json"
    card = json.loads(path.read_text())
    card["training"]["edge_cloud"] = None
    path.write_text(json.dumps(card))
    monkeypatch.setattr("core.hub.registry.PRETRAINED", tmp_path)
    assert "Not yet" in html(opened_page("edge_cloud", f"model={MODEL}"))
    card["training"]["edge_cloud"] = {
        "split": "block1",
        "bits": 8,
        "rate": 2e7,
        "seconds": 40.0,
        "batch_bytes": 123_000_000,
        "state_bytes": 45_600,
        "edge_seconds": 30.0,
        "edge_waited": 1.0,
        "link_seconds": 20.0,
        "cloud_seconds": 35.0,
        "cloud_waited": 5.0,
    }
    path.write_text(json.dumps(card))
    shown = html(opened_page("edge_cloud", f"model={MODEL}"))
    assert "Not yet" not in shown
    assert "123\N{NO-BREAK SPACE}MB" in shown
    assert "45.6\N{NO-BREAK SPACE}kB" in shown
    assert "20 Mbit/s" in shown
    assert "40.0\N{NO-BREAK SPACE}s" in shown


def best(shown: str) -> str:
    """The best split, by its large number; its row in the table is marked."""
    split = shown.split("<dt>Best: ", 1)[1].split("</dt>", 1)[0]
    assert f'class="ee-best"><th scope="row">{split} ★ best</th>' in shown
    return split


def test_the_best_split_at_inference_depends_on_the_link() -> None:
    app = opened_page("edge_cloud", f"{ANSWERING}&rate=100000&slower=10&trip=0")
    assert errors(app) == []
    assert html(app).count("<tr") == 1 + 5
    assert best(html(app)) == "All on the device"
    app.select_slider(key="plans-rate").set_value(5e10).run()
    assert errors(app) == []
    assert best(html(app)) == "All sent"


def test_another_target_names_another_split() -> None:
    app = opened_page("edge_cloud", f"{ANSWERING}&slower=100&least=energy")
    assert best(html(app)) == "All sent"
    app.segmented_control(key="inference-target").set_value("bytes").run()
    assert errors(app) == []
    assert best(html(app)) == "All on the device"
    assert link(app)["least"] == "bytes"


def test_more_hard_images_are_answered_less_on_the_device() -> None:
    app = opened_page("edge_cloud", ANSWERING)
    before = html(app)
    app.number_input(key="inference-hard").set_value(100).run()
    assert errors(app) == []
    assert html(app) != before
    assert link(app)["hard"] == "100"
    assert html(app).count("<td>0.0\N{NO-BREAK SPACE}%</td>") == 4


def test_the_switch_leads_from_training_to_answering_and_back() -> None:
    app = opened_page("edge_cloud", f"model={MODEL}")
    app.segmented_control(key="plans-what").set_value("answering").run()
    assert errors(app) == []
    assert link(app)["show"] == "answering"
    assert "Where to split" in html(app)
    app.segmented_control(key="plans-what").set_value("training").run()
    assert errors(app) == []
    assert "show" not in link(app)
    assert "Time line" in html(app)


def test_a_plain_model_answers_here_or_there() -> None:
    app = opened_page("edge_cloud", f"model={PLAIN}&show=answering&hard=30")
    assert errors(app) == []
    assert html(app).count("<tr") == 1 + 2
    assert app.number_input(key="inference-hard").disabled
    assert "hard" not in link(app)

import json
import shutil
from pathlib import Path

import pytest

from core.edge_cloud import measure
from core.edge_cloud.plan import TrainingTimes
from core.foundation.places import PRETRAINED
from tests.app.pages import errors, html, link, opened_page, reading

MODEL, PLAIN = "eenet8-mnist", "resnet8-mnist"
TIMES = TrainingTimes(128, 1, (0.1,) * 3, (0.2,) * 3, (0.01,) * 3, (0.02,) * 3)


@pytest.fixture(autouse=True)
def measured_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "time_training", lambda spec, batch_size: TIMES)


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

import json
import shutil
from pathlib import Path

import pytest

from app.views import PAGES
from core.deploy.onnx_file import EXTRA
from core.foundation.places import PRETRAINED
from core.hub.registry import card_of, shipped_models
from tests.app.pages import button, errors, html, opened_page, percent

MODEL = "eenet8-mnist"


@pytest.mark.parametrize("name", shipped_models())
def test_every_model_is_described(name: str) -> None:
    app = opened_page("model", f"model={name}")
    assert errors(app) == []
    card = card_of(name)
    shown = html(app)
    assert shown.count('<li class="ee-card">') == card.num_exits
    assert card.sha256 in shown
    assert app.code[0].value == card.command
    for split in ("calibration", "test"):
        for accuracy in card.per_exit_accuracy[split]:
            assert percent(accuracy, 2) in shown
    for point in card.operating_points:
        assert f"{percent(point.test.accuracy, 2)} at {percent(point.test.relative_cost, 1)}" in (
            shown
        )
    if card.num_exits == 1:
        assert "yardstick" in shown


def test_parts_are_measured_when_asked() -> None:
    app = opened_page("model", f"model={MODEL}")
    assert "µs" not in html(app)
    button(app, "Measure here").click().run()
    assert errors(app) == []
    assert html(app).count("µs") + html(app).count("\N{NO-BREAK SPACE}ms") >= 2 * (2 * 3 + 1)
    app.selectbox(key="model").set_value("resnet8-mnist").run()
    assert "µs" not in html(app)  # those were another model's


def test_the_bundle_is_made_and_its_stages_are_timed_in_every_runtime() -> None:
    app = opened_page("model", f"model={MODEL}")
    assert not app.get("download_button") or "bundle" not in str(app.get("download_button"))
    button(app, "Make the bundle").click().run()
    assert errors(app) == []
    assert any(one.proto.label == "Download the bundle" for one in app.get("download_button"))
    button(app, "Time the stages by runtime").click().run()
    assert errors(app) == []
    for runtime in ("PyTorch, float32", "ONNX Runtime, float32", "OpenVINO, bfloat16"):
        assert runtime in html(app)
    app.selectbox(key="model").set_value("resnet8-mnist").run()
    assert "ONNX Runtime, float32" not in html(app)  # those were another model's
    assert button(app, "Make the bundle")


def test_without_onnx_the_page_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRA, "onnx", ("no_such_package",))
    app = opened_page("model", f"model={MODEL}&criterion=margin")
    button(app, "Make the bundle").click().run()
    assert "pip install no_such_package" in errors(app)[0]


def test_a_damaged_model_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PRETRAINED / MODEL, tmp_path / MODEL)
    (tmp_path / MODEL / "weights.safetensors").write_bytes(b"nothing")
    monkeypatch.setattr("core.hub.registry.PRETRAINED", tmp_path)
    app = opened_page("model", f"model={MODEL}")
    assert errors(app) == []
    button(app, "Measure here").click().run()
    assert len(errors(app)) == 1
    assert "damaged" in errors(app)[0]


def test_markup_in_a_card_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PRETRAINED / MODEL, tmp_path / MODEL)
    path = tmp_path / MODEL / "card.json"
    card = json.loads(path.read_text())
    card["training"]["hardware"] = "<script>alert(1)</script>"
    card["title"] = "<img src=x>"
    path.write_text(json.dumps(card))
    monkeypatch.setattr("core.hub.registry.PRETRAINED", tmp_path)
    app = opened_page("model", f"model={MODEL}")
    assert errors(app) == []
    assert "<script>" not in html(app)
    assert "<img src=x>" not in html(app)


@pytest.mark.parametrize("page", PAGES)
def test_models_that_cannot_be_read_keep_no_other_from_being_seen(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, card in (("broken", "{}"), (MODEL, (PRETRAINED / MODEL / "card.json").read_text())):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text(card)
    monkeypatch.setenv("EENET_MODELS", str(tmp_path))
    app = opened_page(page, "model=branchy8-mnist")
    assert errors(app) == []
    for picker in app.selectbox:
        if picker.key == "model":
            assert {"broken", MODEL} <= set(picker.options)

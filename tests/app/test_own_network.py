"""A visitor's own network: attached, trained and opened on every page."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

import core
from tests.app.pages import errors, html, link, opened_page

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

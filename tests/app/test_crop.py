"""Which part of an uploaded picture the network sees."""

from typing import Any

import numpy as np
import pytest

from app.components.crop import SMALLEST, Crop
from app.components.pictures import png
from app.kept_pictures import Own, kept_pictures
from core.data.transform import CenterCrop, EvaluationTransform, Resize
from tests.app.pages import components, errors, html, opened


def transform(*steps: Any) -> EvaluationTransform:
    return EvaluationTransform(size=(32, 32), channels=3, steps=steps, mean=(0,) * 3, std=(1,) * 3)


def test_by_itself_a_network_sees_the_middle() -> None:
    usual = Crop.usual(transform(Resize(size=(40,)), CenterCrop(size=(32, 32))), 300, 200)
    assert usual is not None
    assert (usual.x, usual.y) == (0.5, 0.5)
    assert usual.side == pytest.approx(0.8, abs=0.01)
    assert usual.box(300, 200) == pytest.approx((70, 20, 230, 180), abs=2)


def test_there_is_no_frame_where_pictures_are_distorted() -> None:
    assert Crop.usual(transform(Resize(size=(32, 32))), 300, 200) is None


@pytest.mark.parametrize(
    "value",
    [None, 3, "x", [], {}, {"x": 1}, {"x": "a", "y": 0, "side": 1}, {"x": 0, "y": 0, "side": None}]
    + [{"x": bad, "y": 0.5, "side": 0.5} for bad in (float("nan"), float("inf"))],
)
def test_a_browser_can_send_anything(value: Any) -> None:
    assert Crop.sent(value) is None


def test_a_frame_stays_inside_the_picture() -> None:
    assert Crop.sent({"x": -9, "y": 9, "side": 0}) == Crop(0, 1, SMALLEST)
    for x, y, side in ((0, 0, 1), (1, 1, 0.3), (0.5, 1, 0.1)):
        left, top, right, bottom = Crop(x, y, side).box(300, 200)
        assert 0 <= left < right <= 300
        assert 0 <= top < bottom <= 200
        assert right - left == pytest.approx(bottom - top)


def test_another_part_is_another_picture_and_the_page_says_so() -> None:
    app = opened("model=eenet8-mnist")
    pixels = np.zeros((60, 120, 1), np.uint8)
    pixels[:, :60] = np.random.default_rng(0).integers(0, 256, (60, 60, 1))
    app.file_uploader[0].upload("two.png", png(pixels), "image/png").run()
    whole = next(data for data in components(app) if "crop" in data)
    assert whole["size"] == [120, 60]
    assert whole["crop"] == whole["usual"] == {"x": 0.5, "y": 0.5, "side": 1.0}
    before = html(app).split('class="ee-input"')[1].split('"')[1]
    app.session_state["own-crops"] = {0: Crop(0, 0.5, 1)}
    app.run()
    assert errors(app) == []
    assert html(app).split('class="ee-input"')[1].split('"')[1] != before
    assert next(data for data in components(app) if "crop" in data)["crop"]["x"] == 0


def test_a_chosen_part_of_a_large_picture_is_read_from_all_its_pixels() -> None:
    app = opened("model=eenet8-mnist")
    app.file_uploader[0].upload("large.png", png(np.zeros((1500, 1500, 1), np.uint8))).run()
    assert "Its 2 million pixels were read at half its width and height." in html(app)
    app.session_state["own-crops"] = {0: Crop(0, 0.5, 0.3)}
    app.run()
    assert errors(app) == []
    assert "were read at" not in html(app)


def test_a_drawing_has_no_frame() -> None:
    drawing = Own("Your drawing", png(np.eye(50, dtype=np.uint8)[:, :, None]), True)
    app = opened(f"model=eenet8-mnist&own={kept_pictures().keep([drawing])}")
    assert "Your drawing" in html(app)
    assert not any("crop" in data for data in components(app))

"""Files of a visitor's, good and bad."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from core.data.samples import load_samples

pytestmark = pytest.mark.browser


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def digit() -> bytes:
    return png(Image.fromarray(load_samples("mnist").images[3000, :, :, 0]))


BAD = {
    "text.png": b"this is no image",
    "empty.png": b"",
    "bomb.png": png(Image.new("1", (9000, 9000))),
    "half.png": png(Image.effect_noise((64, 64), 90))[:2000],
}


def upload(page: Page, files: dict[str, bytes]) -> None:
    page.get_by_role("button", name="Upload", exact=True).first.click()
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        [
            FilePayload(name=name, mimeType="image/png", buffer=content)
            for name, content in files.items()
        ]
    )


def test_a_good_file_is_answered_and_bad_ones_are_sentences(page: Page) -> None:
    page.goto("/?model=eenet8-mnist")
    page.locator(".ee-tops").wait_for()
    upload(page, {**BAD, "digit.png": digit()})
    complaints = page.get_by_test_id("stAlertContentError")
    expect(complaints).to_have_count(len(BAD))
    for name, complaint in zip(BAD, complaints.all_inner_texts(), strict=True):
        assert f"This needs '{name}'" in complaint
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_text("Switch the camera on")).to_have_count(0)
    expect(page.locator(".ee-input figcaption")).to_contain_text("digit.png")
    truth = load_samples("mnist")
    expect(page.locator('[data-reading="answer"] dd').first).to_have_text(
        truth.classes[truth.labels[3000]]
    )


def test_the_network_sees_the_part_in_the_frame(page: Page) -> None:
    samples = load_samples("mnist")
    two = np.concatenate([samples.images[number, :, :, 0] for number in (3000, 1000)], axis=1)
    page.goto("/?model=eenet8-mnist")
    page.locator(".ee-tops").wait_for()
    upload(page, {"two.png": png(Image.fromarray(two).resize((448, 224)))})
    stage = page.locator(".crop .stage")
    stage.wait_for()
    page.keyboard.press("Escape")
    answer = page.locator('[data-reading="answer"] dd').first
    for side, number in ((0.05, 3000), (0.95, 1000)):
        box = stage.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + side * box["width"], box["y"] + box["height"] / 2)
        expect(answer).to_have_text(samples.classes[samples.labels[number]])
    reset = page.get_by_role("button", name="Back to the middle")
    reset.click()
    expect(reset).to_be_disabled()


def test_what_is_too_large_never_leaves_the_browser(page: Page) -> None:
    page.goto("/?model=eenet8-mnist")
    page.locator(".ee-tops").wait_for()
    upload(page, {"large.png": bytes(21 * 2**20)})
    reason = page.get_by_text("20.0MB or smaller")
    expect(reason).to_be_in_viewport()
    box = reason.bounding_box()
    assert box is not None
    assert box["width"] > 100  # to be read, not only heard
    page.keyboard.press("Escape")
    expect(page.locator(".ee-input figcaption")).to_contain_text("Sample 1 of")

"""A network of a visitor's own gets exits, is trained on their zip, and opens elsewhere."""

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.app.test_own_network import coloured
from tests.browser.steps import wait_for_url
from tests.core.data.pictures import packed

pytestmark = pytest.mark.browser

NETWORK = "network=torchvision-squeezenet1_1&classes=3&pixels=32&train=joint&epochs=2"


def test_choose_exits_bring_pictures_train_and_open(page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"/model?show=own&{NETWORK}")
    page.locator(".ee-ticks").wait_for()
    expect(page.locator(".ee-ticks [data-chosen]")).to_have_count(3)
    archive = FilePayload(name="own.zip", mimeType="application/zip", buffer=packed(coloured(10)))
    page.get_by_test_id("stFileUploaderDropzoneInput").nth(1).set_input_files([archive])
    expect(page.get_by_text("30 pictures")).to_be_visible()
    page.get_by_role("button", name="Train the exits").click()
    # nothing is clicked from here on: the page follows by itself
    page.get_by_role("button", name="Open in Samples").click(timeout=120_000)
    wait_for_url(page, "model", "trained-here-1")
    pictures = page.get_by_role("group", name="Images of this selection").get_by_role("button")
    expect(pictures).to_have_count(6)
    assert faults == []


def test_a_large_file_of_weights_arrives_and_is_judged(page: Page) -> None:
    page.goto(f"/model?show=own&{NETWORK}")
    page.locator(".ee-ticks").wait_for()
    weights = FilePayload(
        name="weights.safetensors", mimeType="application/octet-stream", buffer=bytes(12 * 2**20)
    )
    page.get_by_test_id("stFileUploaderDropzoneInput").nth(0).set_input_files([weights])
    complaint = page.get_by_test_id("stAlertContentError")
    expect(complaint).to_contain_text("weights.safetensors")

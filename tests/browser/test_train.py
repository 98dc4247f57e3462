"""A network is trained while one looks on, opened elsewhere, and found again by its link."""

import io
import zipfile

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import wait_for_url

pytestmark = pytest.mark.browser

TRAINING = 240_000  # milliseconds; a busy machine takes its time


def test_train_watch_open_and_download(page: Page, other: Page) -> None:
    page.goto("/train?epochs=2&loss=v1&lambda=0.5&exits=block2&seed=1")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Stop").wait_for()
    # nothing is clicked from here on: the page follows by itself
    expect(page.locator('[data-reading="epoch"] dd').first).to_have_text("2 of 2", timeout=TRAINING)
    expect(page.get_by_role("button", name="Start")).to_be_enabled(timeout=TRAINING)
    expect(page.locator(".ee-table")).to_contain_text("Trained here 1: v1, λ = 0.5")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    name = download.value.suggested_filename.removesuffix(".zip")
    assert name.startswith("trained-here-1-")
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        assert f"{name}/card.json" in archive.namelist()

    page.get_by_role("button", name="Open in Thresholds").click()
    page.locator(".ee-table").first.wait_for()
    run = wait_for_url(page, "run")
    model = f"trained-here-1-{run}"
    assert wait_for_url(page, "model", model)
    page.get_by_role("link", name="Playground").click()
    page.locator(".ee-ladder").wait_for()
    assert wait_for_url(page, "model", model)
    for _ in range(2):
        page.reload()
        page.locator(".ee-ladder").wait_for()
        assert wait_for_url(page, "model", model)
        expect(page.get_by_text("which is not here")).to_have_count(0)

    other.goto(f"/?model={model}")
    other.locator(".ee-ladder").wait_for()
    other.wait_for_url(lambda url: model not in url)
    expect(other.get_by_text("Trained here")).to_have_count(0)

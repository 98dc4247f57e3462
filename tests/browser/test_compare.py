"""The images that change: filtered, and opened where they can be played with."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import wait_for_url

pytestmark = pytest.mark.browser

A = "model=eenet8-mnist&criterion=margin&thresholds=0.9,0.8"


def test_changes_are_filtered_ordered_turned_over_and_saved(page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"/compare?{A}&b-model=eenet8-mnist&b-criterion=entropy&b-thresholds=0.3,0.3")
    rows = page.locator(".pairs tbody tr")
    rows.first.wait_for()
    expect(rows).to_have_count(20)
    kinds = page.get_by_role("radiogroup", name="From A to B")
    pill = kinds.get_by_role("radio", name="Only another exit")
    count = pill.inner_text().split(": ")[1]
    pill.click()
    wait_for_url(page, "change", "other_exit")
    expect(page.get_by_text(f"{count} images")).to_be_visible()
    expect(rows.first).to_contain_text("Only another exit")
    first = rows.first.inner_text()
    page.get_by_role("button", name="Next").click()
    wait_for_url(page, "change-page", "2")
    expect(rows.first).not_to_have_text(first)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert len(lines) == 1 + int(count.replace(",", ""))
    assert faults == []


@pytest.mark.data
@pytest.mark.usefixtures("prepared_root")
def test_an_answer_opens_its_image_with_its_network(page: Page) -> None:
    page.goto(f"/compare?{A}&b-model=resnet8-mnist")
    row = page.locator(".pairs tbody tr").nth(2)
    name, says = (row.locator(one).inner_text() for one in (".image small", "td:nth-child(3) b"))
    row.get_by_role("button").nth(1).click()
    expect(page.locator(".ee-heading h1")).to_have_text("Playground")
    wait_for_url(page, "model", "resnet8-mnist")
    expect(page.locator(".ee-input figcaption")).to_contain_text(name)
    expect(page.locator('[data-reading="answer"] dd').first).to_have_text(says)

    page.get_by_role("link", name="Compare").click()  # nothing is lost: both changed places
    wait_for_url(page, "b-model", "eenet8-mnist")
    wait_for_url(page, "b-thresholds", "0.9,0.8")
    wait_for_url(page, "model", "resnet8-mnist")

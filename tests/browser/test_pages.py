"""Through all pages, and back to the same view by its link."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import settled, wait_for_url

pytestmark = pytest.mark.browser

MODEL, TITLE = "eenet8-mnist", "EENet-8 on MNIST"
LAST = {  # of some pages, what only a whole one has
    "Playground": ".maps figure",
    "Thresholds": ".ee-table",
    "Compare": ".ee-crossing",
    "Learn": ".ee-lesson",
    "Model": ".ee-facts",
}


def no_complaint(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


def test_all_pages_one_after_the_other(page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto("/model?model=resnet20-cifar10")
    chosen = page.get_by_role("combobox", name="Model", exact=True).first
    chosen.fill(TITLE)  # of a long list only a part is drawn
    page.get_by_role("option", name=TITLE, exact=True).click()
    wait_for_url(page, "model", MODEL)
    names = page.get_by_test_id("stTopNavLink").all_inner_texts()
    names = [name.splitlines()[-1] for name in names]  # the first line is the icon's
    assert set(names) >= {*LAST, "Samples", "Train"}
    for name in names:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.locator(".ee-heading h1")).to_have_text(name)
        if name in LAST:
            page.locator(LAST[name]).first.wait_for()
            wait_for_url(page, "model", MODEL)
            expect(chosen).to_have_value(TITLE)
        settled(page)
        no_complaint(page)
        expect(page.get_by_role("button", name="Keyboard shortcuts")).to_have_count(1)
    assert faults == []


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        (
            f"/?model={MODEL}&sample=777&criterion=margin&thresholds=0.9,0.2&off=1",
            ".ee-cards",
        ),
        (f"/thresholds?model={MODEL}&criterion=entropy&thresholds=0.7,0.6&off=2", ".ee-table"),
        (
            f"/compare?model={MODEL}&thresholds=0.9,0.8&b-model={MODEL}&b-thresholds=0.4,0.4"
            "&change=to_wrong&change-order=least_sure",
            ".pairs",
        ),
        (f"/learn?model={MODEL}&step=3", ".ee-lesson"),
    ],
    ids=["playground", "thresholds", "compare", "learn"],
)
def test_a_reloaded_page_shows_the_same(page: Page, link: str, shown: str) -> None:
    page.goto(link)
    page.locator(shown).first.wait_for()
    settled(page)
    before, address = page.locator(shown).first.inner_text(), page.url
    page.reload()
    page.locator(shown).first.wait_for()
    settled(page)
    assert page.locator(shown).first.inner_text() == before
    assert page.url == address
    no_complaint(page)

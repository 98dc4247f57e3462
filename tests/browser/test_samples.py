"""Pictures that are buttons, and the way to the Playground."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.steps import PATIENCE, wait_for_url

pytestmark = pytest.mark.browser

MODEL = "eenet8-mnist"


def test_filter_by_exit_open_a_sample_and_send_it_to_the_playground(page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"/samples?model={MODEL}&of=samples&criterion=margin&thresholds=0.9,0.5")
    pictures = page.get_by_role("group", name="Images of this selection").get_by_role("button")
    pictures.first.wait_for()
    expect(pictures).to_have_count(48)
    exits = page.get_by_role("group", name="Exits: how many leave, and a filter")
    exits.get_by_role("button").nth(2).click()
    wait_for_url(page, "exit", "2")
    expect(exits.get_by_role("button").nth(2)).to_have_attribute(
        "aria-pressed", "true", timeout=PATIENCE
    )
    expect(pictures.first).to_contain_text("Exit 2", timeout=PATIENCE)

    pictures.nth(5).focus()
    page.keyboard.press("Enter")
    number = int(wait_for_url(page, "open"))
    expect(pictures.nth(5)).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
    expect(pictures.nth(5)).to_be_focused()
    panel = page.locator(".st-key-opened-sample")
    expect(panel.locator('[data-exit="1"]')).to_have_attribute(
        "data-state", "left", timeout=PATIENCE
    )
    answers = panel.locator(".ee-answer strong").all_inner_texts()

    panel.get_by_role("button", name="Open in the Playground").click()
    page.locator(".ee-ladder").wait_for()
    wait_for_url(page, "sample", str(number - 1))
    expect(page.locator(".ee-ladder [data-state='left'].ee-card")).to_have_attribute(
        "data-exit", "1", timeout=PATIENCE
    )
    assert page.locator(".ee-ladder .ee-answer strong").all_inner_texts() == answers
    assert faults == []


def test_a_phone_is_shown_what_was_picked(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, base_url=address)
    page.set_default_timeout(PATIENCE)
    page.goto(f"/samples?model={MODEL}&of=samples")
    pictures = page.get_by_role("group", name="Images of this selection").get_by_role("button")
    pictures.nth(30).click()
    expect(page.locator(".ee-portrait h2")).to_be_in_viewport(timeout=PATIENCE)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize(
    ("path", "last"), [("/samples?open=3", ".ee-considered"), ("/compare", ".ee-crossing")]
)
def test_nothing_sticks_out(
    browser: Browser, address: str, path: str, last: str, width: int, scheme: str
) -> None:
    page = browser.new_page(
        viewport={"width": width, "height": 844},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto(address + path)
    page.locator(last).wait_for(timeout=PATIENCE)
    wide, room = page.get_by_test_id("stMain").evaluate("one => [one.scrollWidth, one.clientWidth]")
    assert wide <= room
    page.close()

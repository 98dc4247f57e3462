"""The address: Back, Forward, and links that are copied."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.steps import PATIENCE, wait_for_url

pytestmark = pytest.mark.browser

MODEL = "eenet20-cifar10"


def test_back_undoes_a_change_and_leads_to_the_page_before_in_one_press(page: Page) -> None:
    page.goto(f"/?model={MODEL}&sample=3")
    name, title = page.locator(".ee-input figcaption"), page.locator(".ee-heading h1")
    page.locator(".ee-tops").wait_for()
    page.get_by_role("group", name="Sample images").get_by_role("button").nth(6).click()
    wait_for_url(page, "sample", "7")
    expect(name).to_contain_text("Sample 7 of")
    page.go_back()
    expect(name).to_contain_text("Sample 3 of")
    page.go_forward()
    expect(name).to_contain_text("Sample 7 of")
    wait_for_url(page, "sample", "7")

    page.get_by_role("link", name="Samples", exact=True).click()
    expect(title).to_have_text("Samples")
    wait_for_url(page, "model")
    exits = page.get_by_role("group", name="Exits: how many leave, and a filter")
    exits.get_by_role("button").nth(2).click()
    wait_for_url(page, "exit", "2")
    page.go_back()
    expect(exits.get_by_role("button").nth(0)).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(title).to_have_text("Playground")
    expect(name).to_contain_text("Sample 7 of")


def test_the_link_is_copied_with_the_address_that_the_browser_sees(
    browser: Browser, address: str
) -> None:
    seen = address.replace("127.0.0.1", "localhost")  # as behind a proxy, it is not the server's
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{seen}/thresholds?model={MODEL}&criterion=margin&thresholds=0.5,0.6,0.7")
    page.get_by_role("button", name="Copy the link").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"{seen}/thresholds?model={MODEL}&criterion=margin")
    assert "thresholds=0.5,0.6,0.7" in copied
    context.close()


def test_the_first_stop_of_the_tab_key_leads_past_the_navigation(page: Page) -> None:
    page.goto("/learn")
    page.locator(".ee-lesson").wait_for()
    page.locator(".ee-skip").wait_for(state="attached")
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('[data-testid=stMain]') !== null")
    link = page.get_by_role("link", name="Samples", exact=True)
    link.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    style = "getComputedStyle(document.activeElement)"
    assert page.evaluate(f"{style}.outlineStyle") == "solid"
    assert page.evaluate(f"parseFloat({style}.outlineWidth)") >= 2

"""Keys, and the list of them."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import wait_for_url

pytestmark = pytest.mark.browser


def test_a_question_mark_lists_the_keys_but_not_while_typing(page: Page) -> None:
    page.goto("/compare?model=eenet8-mnist&criterion=margin&thresholds=0.5,0.25")
    typed = page.get_by_label("Thresholds", exact=True).first
    expect(typed).to_have_value("0.5, 0.25")  # the right side's may be drawn before the left's
    button = page.get_by_role("button", name="Keyboard shortcuts")
    button.wait_for()
    keys = page.get_by_role("dialog", name="Keyboard shortcuts")
    page.keyboard.press("?")
    expect(keys).to_be_visible()
    expect(keys).to_contain_text("next")
    expect(keys.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("?")
    expect(keys).to_have_count(0)

    typed.focus()
    page.keyboard.press("End")
    page.keyboard.type("?")
    expect(typed).to_have_value("0.5, 0.25?")
    expect(keys).to_have_count(0)

    button.click()
    expect(keys).to_be_visible()
    page.keyboard.press("Escape")
    expect(keys).to_have_count(0)
    expect(button).to_be_focused()


def test_letters_walk_through_the_samples_unless_the_list_is_open(page: Page) -> None:
    page.goto("/?model=eenet8-mnist&sample=1001")
    page.locator(".ee-tops").wait_for()
    page.wait_for_load_state("networkidle")  # a button that is drawn anew misses a key just then
    page.get_by_role("button", name="Keyboard shortcuts").wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()
    page.keyboard.press("n")
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keyboard shortcuts").wait_for(state="hidden")
    page.keyboard.press("n")
    wait_for_url(page, "sample", "1251")
    page.locator(".ee-input").get_by_text("Sample 1,251 of").wait_for()
    page.keyboard.press("p")
    wait_for_url(page, "sample", "1001")

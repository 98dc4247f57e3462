"""Drawing a digit with the mouse."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import settled

pytestmark = pytest.mark.browser


def test_a_drawn_one_is_answered(page: Page) -> None:
    page.goto("/?model=eenet8-mnist")
    page.locator(".ee-tops").wait_for()
    page.get_by_role("button", name="Draw").click()
    canvas = page.get_by_role("img", name="Draw a digit here")
    settled(page)
    canvas.hover()  # waits until it stands still
    board = canvas.bounding_box()
    assert board is not None
    middle = board["x"] + board["width"] / 2
    page.mouse.move(middle + 8, board["y"] + 50)
    page.mouse.down()
    page.mouse.move(middle - 8, board["y"] + board["height"] - 50, steps=12)
    page.mouse.up()
    caption = page.locator(".ee-input figcaption")
    expect(caption).to_contain_text("Your drawing")
    expect(page.locator('[data-reading="answer"] dd').first).to_have_text("1")

"""What is seen before anybody scrolls, and what the keyboard reaches without many presses."""

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser


def open_playground(page: Page, model: str, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"/?model={model}")
    page.locator(".ee-tops").wait_for()


def box(part: Locator) -> tuple[float, float, float, float]:
    """Left, top, right and bottom in the window."""
    found = part.bounding_box()
    assert found is not None
    x, y = found["x"], found["y"]
    return x, y, x + found["width"], y + found["height"]


@pytest.mark.parametrize(
    ("width", "height", "last"),
    [
        (1280, 720, '[data-exit="1"] .ee-answer'),
        (853, 480, '[data-reading="answer"]'),  # 1280 × 720 at 150 %
        (390, 844, '[data-reading="answer"]'),
    ],
)
def test_the_answer_is_in_the_first_view(page: Page, width: int, height: int, last: str) -> None:
    open_playground(page, "eenet20-cifar10", width, height)
    assert box(page.locator(last))[3] <= height


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_the_blackboard_is_whole_and_leaves_the_answer_free(
    page: Page, width: int, height: int
) -> None:
    open_playground(page, "eenet8-mnist", width, height)
    page.get_by_role("button", name="Draw", exact=True).click()
    board = page.get_by_role("img", name="Draw a digit here")
    board.hover()  # waits until it stands still
    page.mouse.wheel(0, -1000)
    left, top, right, bottom = box(board)
    assert 0 <= left < right <= width
    assert 0 < top < bottom <= height
    answer = box(page.locator('[data-reading="answer"]'))
    assert answer[3] <= height
    assert answer[0] >= right or answer[1] >= bottom


def test_pictures_are_one_stop_of_the_tab_key(page: Page) -> None:
    open_playground(page, "eenet20-cifar10", 1280, 720)
    samples = page.get_by_role("group", name="Sample images").get_by_role("button")
    samples.first.focus()
    page.keyboard.press("ArrowRight")
    expect(samples.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(samples.last).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.st-key-walk-p') !== null")

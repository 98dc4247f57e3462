"""What is seen before anybody scrolls, and what the keyboard reaches without many presses."""

import re
from pathlib import Path
from typing import Literal

import pytest
import streamlit
from playwright.sync_api import Locator, Page, expect

from app.icons import NAME
from tests.browser.steps import settled
from tests.running_app import ROOT

pytestmark = pytest.mark.browser


def open_playground(page: Page, model: str, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"/?model={model}")
    page.locator(".ee-tops").wait_for()


def box(part: Locator) -> tuple[float, float, float, float]:
    """Left, top, right and bottom in the window."""
    expect(part).to_be_visible()
    left, top, right, bottom = part.evaluate(
        "part => (({ left, top, right, bottom }) => [left, top, right, bottom])"
        "(part.getBoundingClientRect())"
    )
    return left, top, right, bottom


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_was_not_reached_can_be_read(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto("/?model=eenet20-cifar10&criterion=margin&thresholds=0,0,0")
    page.locator(".ee-tops").wait_for()
    settled(page)
    ground = luminance(page, ".stApp", "backgroundColor")
    for part in (".ee-chip", ".ee-answer small", ".ee-answer strong", ".ee-verdict"):
        ink = luminance(page, f'.ee-card[data-state="dark"] {part}', "color")
        light, dark = max(ink, ground), min(ink, ground)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(page: Page, selector: str, name: str) -> float:
    """Relative luminance of an opaque colour of the first such element, as WCAG 2 defines it."""
    look = """([selector, name]) => {
        const part = document.querySelector(selector);
        return part && getComputedStyle(part)[name];
    }"""
    found = page.wait_for_function(look, arg=[selector, name]).json_value()
    assert found.startswith("rgb(")
    levels = [int(level) / 255 for level in found[4:-1].split(",")]
    red, green, blue = (
        level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def icons_file() -> str:
    (path,) = (Path(streamlit.__file__).parent / "static").rglob(f"{NAME}*.woff2")
    return path.name


WIDTHS = """names => Object.fromEntries(names.map(name => {
  const icon = document.createElement('span');
  icon.style.font = '20px "Material Symbols Rounded"';
  icon.textContent = name;
  document.body.append(icon);
  return [name, Math.round(icon.getBoundingClientRect().width)];
}))"""


def test_every_icon_that_is_named_is_drawn(other: Page) -> None:
    sources = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    names = set(re.findall(r":material/(\w+):", sources)) | {"keyboard_arrow_down", "close"}
    font = "/static/media/" + icons_file()
    while len(other.request.get(font).body()) > 100_000:  # the small one is being made
        pass
    open_playground(other, "eenet20-cifar10", 1280, 720)
    other.evaluate("document.fonts.load('20px \"Material Symbols Rounded\"')")
    assert other.evaluate(WIDTHS, sorted(names)) == dict.fromkeys(names, 20)
    assert other.evaluate(WIDTHS, ["wifi_calling_bar_3"]) != {"wifi_calling_bar_3": 20}

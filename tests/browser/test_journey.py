"""What a visitor does, in a real browser."""

import re
from typing import Literal
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.steps import wait_for_url

pytestmark = pytest.mark.browser

MODEL = "eenet8-mnist"


def lit_exit(page: Page) -> Locator:
    return page.locator('[data-exit][data-state="left"]')


def saved(page: Page) -> str:
    return page.locator(".ee-reading.ee-strong dd").first.inner_text()


def test_open_pick_a_sample_drag_a_threshold(page: Page) -> None:
    elsewhere: list[str] = []
    faults: list[str] = []
    page.on(
        "request",
        lambda request: (
            None
            if urlparse(request.url).hostname in ("127.0.0.1", None)
            else elsewhere.append(request.url)
        ),
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"/?model={MODEL}&criterion=max_probability&thresholds=0.02,0.01")

    page.locator(".ee-ladder").wait_for()
    samples = page.get_by_role("group", name="Sample images").get_by_role("button")
    expect(samples).to_have_count(20)
    expect(samples.nth(0)).to_have_attribute("aria-pressed", "true")
    samples.nth(11).click()
    expect(samples.nth(11)).to_have_attribute("aria-pressed", "true")
    wait_for_url(page, "sample")
    expect(lit_exit(page)).to_have_attribute("data-exit", "0")
    before = saved(page)

    track = page.get_by_role("slider").first.bounding_box()
    assert track is not None
    height = track["y"] + track["height"] / 2
    page.mouse.move(track["x"] + 9 + 0.02 * (track["width"] - 18), height)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] + 60, height, steps=8)
    expect(page.locator('[data-exit="0"]')).to_have_attribute("data-state", "passed")
    expect(lit_exit(page)).to_have_attribute("data-exit", "1")  # before the hand lets go
    assert saved(page) != before
    page.mouse.up()
    assert wait_for_url(page, "thresholds", "1.0,0.01")

    page.get_by_role("link", name="Thresholds").click()
    expect(page.locator(".ee-heading h1")).to_have_text("Thresholds")
    page.locator(".ee-table").wait_for()
    expect(page.locator(".ee-histogram")).to_have_count(2)
    assert wait_for_url(page, "thresholds", "1.0,0.01")  # pages share what is set
    assert elsewhere == []
    assert faults == []


def test_a_link_shows_the_same_to_somebody_else(page: Page, other: Page) -> None:
    page.goto(f"/?model={MODEL}&sample=1234&criterion=entropy&thresholds=0.999999,0.1&off=2")
    page.locator(".ee-tops").wait_for()
    other.goto(page.url)
    other.locator(".ee-tops").wait_for()
    ours, theirs = (one.locator(".ee-cards") for one in (page, other))
    left = lit_exit(page).get_attribute("data-exit") or "none"
    expect(lit_exit(other)).to_have_attribute("data-exit", left)
    expect(theirs).to_have_text(ours.inner_text(), use_inner_text=True)


def test_a_keyboard_moves_thresholds_and_keeps_the_focus(page: Page) -> None:
    page.goto(f"/?model={MODEL}&criterion=margin&thresholds=0.5,0.5")
    slider = page.get_by_role("slider").nth(1)
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    wait_for_url(page, "thresholds", "0.5,0.503")
    page.locator(".ee-tops").wait_for()
    expect(slider).to_be_focused()
    page.keyboard.press("Home")
    wait_for_url(page, "thresholds", "0.5,0.0")
    expect(slider).to_be_focused()
    page.get_by_label("Exit 1: leave above").first.focus()


def test_a_number_can_be_typed_and_nonsense_is_ignored(page: Page) -> None:
    page.goto(f"/thresholds?model={MODEL}&criterion=margin&thresholds=0.5,0.5")
    number = page.get_by_role("spinbutton").first
    number.fill("0.123456")
    number.press("Enter")
    wait_for_url(page, "thresholds", "0.123456,0.5")
    number.fill("7")
    number.press("Enter")
    wait_for_url(page, "thresholds", "1.0,0.5")


def test_two_visitors_do_not_disturb_each_other(page: Page, other: Page) -> None:
    for one, thresholds in ((page, "0.1,0.2"), (other, "0.9,0.8")):
        one.goto(f"/thresholds?model={MODEL}&criterion=entropy&thresholds={thresholds}")
        one.locator(".ee-table").wait_for()
    page.get_by_role("slider").first.focus()
    page.keyboard.press("End")
    wait_for_url(page, "thresholds", "1.0,0.2")
    other.get_by_role("slider").first.focus()
    other.keyboard.press("Home")
    wait_for_url(other, "thresholds", "0.0,0.8")
    wait_for_url(page, "thresholds", "1.0,0.2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize(("path", "last"), [("/", ".ee-tops"), ("/thresholds", ".ee-table")])
def test_nothing_sticks_out(
    page: Page, path: str, last: str, width: int, height: int, scheme: Literal["light", "dark"]
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    page.goto(path)
    page.locator(last).first.wait_for()
    main = page.get_by_test_id("stMain")
    wide, room = main.evaluate("element => [element.scrollWidth, element.clientWidth]")
    assert wide <= room
    background = main.evaluate(
        "element => getComputedStyle(element.closest('.stApp')).backgroundColor"
    )
    levels = [int(level) for level in re.findall(r"\d+", background)[:3]]
    assert (sum(levels) < 200) == (scheme == "dark")

"""The page for the front of a room: played, stepped, guessed and slid in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from app.tour import load_tour
from core.data.samples import load_samples
from core.exits.policy import Policy
from core.exits.routing import route
from core.hub.model import load
from tests.browser.steps import settled, wait_for_url

pytestmark = pytest.mark.browser

MODEL = "eenet8-mnist"


def opened(page: Page, query: str = "") -> None:
    page.goto(f"/present?model={MODEL}&{query}")
    page.locator(".journey").wait_for()
    settled(page)


def leaves(page: Page) -> int:
    """The exit, from 0, at which the picture leaves, once it is there."""
    expect(page.locator('.path > li[data-exit="open"]')).to_have_count(1)
    states = page.locator(".path > li").evaluate_all("all => all.map((one) => one.dataset.exit)")
    return int(states.index("open"))


@pytest.mark.parametrize("sample", [52, 113])
def test_the_picture_leaves_where_the_library_says(page: Page, sample: int) -> None:
    policy = Policy("confidence", (0.9999, 0.99))
    opened(page, f"criterion=confidence&thresholds=0.9999,0.99&sample={sample}")
    image = load_samples("mnist").images[sample - 1]
    assert leaves(page) == route(load(MODEL).table(image[None]), policy).exits[0]


def test_it_is_played_step_by_step_and_revealed(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    opened(page, "thresholds=1,1&sample=1")
    assert leaves(page) == 2
    lit = page.locator('.path > li[data-stage="lit"]')
    page.keyboard.press(".")
    expect(lit).to_have_count(0)
    for stages in (1, 1, 2, 2, 3):  # a stage computes, then its exit speaks
        page.keyboard.press(".")
        expect(lit).to_have_count(stages)
    truth = page.locator(".truth")
    assert "0" not in truth.inner_text()
    page.keyboard.press("r")
    expect(truth).to_have_text("0")
    expect(page.get_by_role("button", name="Reveal")).to_have_attribute("aria-pressed", "true")


def test_the_slider_says_how_sure_is_sure_enough(page: Page) -> None:
    opened(page, "sample=52")
    slider = page.get_by_role("slider", name="How sure is sure enough?")
    slider.focus()
    page.keyboard.press("Home")
    assert leaves(page) == 0
    said = page.locator(".spent").inner_text()
    assert said.startswith("Compute saved")
    page.keyboard.press("End")
    assert leaves(page) == 2
    expect(page.locator(".spent")).to_contain_text("Compute saved 0.0\N{NO-BREAK SPACE}%")
    wait_for_url(page, "off", "1,2")  # Python has heard of it


def test_guesses_are_counted(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    opened(page, "thresholds=1,1&sample=1")
    page.keyboard.press("g")
    expect(page.locator(".spent")).to_contain_text("Where will it leave?")
    page.get_by_role("button", name="It leaves here").nth(2).click()
    expect(page.locator(".spent")).to_contain_text("You were right! 1 of 1 guessed right.")
    page.keyboard.press("n")
    expect(page.locator("figcaption")).to_contain_text("Sample 251 ")
    page.get_by_role("button", name="It leaves here").nth(0).click()
    expect(page.locator(".spent")).to_contain_text("Not there. 1 of 2 guessed right.")


def test_a_clicker_goes_through_the_tour(page: Page) -> None:
    steps = load_tour()
    opened(page)
    page.get_by_role("button", name="Start the tour").click()
    expect(page.locator(".st-key-tour")).to_contain_text(steps[0].title)
    expect(page.locator(".journey.touring")).to_be_visible()
    page.keyboard.press("PageDown")
    expect(page.locator(".st-key-tour")).to_contain_text(steps[1].title)
    wait_for_url(page, "sample", steps[1].shows["sample"])
    page.keyboard.press("PageUp")
    expect(page.locator(".st-key-tour")).to_contain_text(steps[0].title)


@pytest.mark.parametrize("query", ["", "tour=2"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (2560, 1440)])
def test_a_screen_holds_all_of_it(page: Page, width: int, height: int, query: str) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"/present?model=eenet-lite0-photos&sample=26&{query}")
    box = page.locator(".journey")
    box.wait_for()
    settled(page)
    leaves(page)
    assert box.evaluate("one => one.getBoundingClientRect().bottom") <= height
    assert page.get_by_test_id("stMain").evaluate("one => one.scrollHeight <= one.clientHeight")

"""Pictures that are buttons, and the way to the Playground."""

from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import wait_for_url

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
    expect(exits.get_by_role("button").nth(2)).to_have_attribute("aria-pressed", "true")
    expect(pictures.first).to_contain_text("Exit 2")

    pictures.nth(5).focus()
    page.keyboard.press("Enter")
    number = int(wait_for_url(page, "open"))
    expect(pictures.nth(5)).to_have_attribute("aria-pressed", "true")
    expect(pictures.nth(5)).to_be_focused()
    panel = page.locator(".st-key-opened-sample")
    expect(panel.locator('[data-exit="1"]')).to_have_attribute("data-state", "left")
    answers = panel.locator(".ee-answer strong").all_inner_texts()

    panel.get_by_role("button", name="Open in the Playground").click()
    page.locator(".ee-ladder").wait_for()
    wait_for_url(page, "sample", str(number))
    expect(page.locator(".ee-ladder [data-state='left'].ee-card")).to_have_attribute(
        "data-exit", "1"
    )
    assert page.locator(".ee-ladder .ee-answer strong").all_inner_texts() == answers
    assert faults == []


def test_a_phone_is_shown_what_was_picked(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/samples?model={MODEL}&of=samples")
    pictures = page.get_by_role("group", name="Images of this selection").get_by_role("button")
    pictures.nth(30).click()
    expect(page.locator(".ee-portrait h2")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize(
    ("path", "last"), [("/samples?open=3", ".ee-considered"), ("/compare", ".ee-crossing")]
)
def test_nothing_sticks_out(
    page: Page, path: str, last: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    page.goto(path)
    page.locator(last).wait_for()
    wide, room = page.get_by_test_id("stMain").evaluate("one => [one.scrollWidth, one.clientWidth]")
    assert wide <= room


def test_brushing_the_histogram_selects_and_outlives_other_choices(page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"/samples?model={MODEL}&of=samples&criterion=margin&thresholds=0.9,0.5")
    brush = page.get_by_role("group", name="Margin: score at the exit it used")
    area = brush.locator(".area").bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 30)
    page.mouse.down()
    page.mouse.move(area["x"] + 0.6 * area["width"], area["y"] + 30, steps=6)
    expect(brush.get_by_label("Greatest score").first).to_have_value("0.6")
    found = brush.locator("b").inner_text()  # before the hand lets go
    assert "5,000" not in found
    page.mouse.up()
    wait_for_url(page, "from", "0.3")
    wait_for_url(page, "to", "0.6")
    count = found.removesuffix(" images from")
    expect(page.get_by_text(f"{count} of 5,000 images")).to_be_visible()
    selection = page.get_by_role("group", name="Images of this selection")
    expect(selection.get_by_role("button")).to_have_count(min(int(count), 48))

    low = brush.get_by_role("slider", name="Least score")
    low.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    wait_for_url(page, "from", "0.19")
    expect(low).to_be_focused()

    exits = page.get_by_role("group", name="Exits: how many leave, and a filter")
    exits.get_by_role("button").nth(3).click()
    wait_for_url(page, "exit", "3")
    assert wait_for_url(page, "from", "0.19")
    expect(low).to_have_attribute("aria-valuenow", "0.19")

    number = brush.get_by_role("spinbutton", name="Greatest score")
    number.fill("0.5")
    number.press("Enter")
    wait_for_url(page, "to", "0.5")
    brush.get_by_role("button", name="All scores").click()
    page.wait_for_url(lambda url: "from=" not in url and "to=" not in url)
    assert faults == []

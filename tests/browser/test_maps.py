"""Saliency maps under the hand: views, scales, enlarged."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.steps import settled

pytestmark = pytest.mark.browser


def test_maps_are_seen_in_other_ways_and_enlarged(page: Page) -> None:
    page.goto("/?model=eenet8-mnist&sample=1000")
    maps = page.locator(".maps")
    canvases = maps.locator(".figures canvas")
    expect(canvases).to_have_count(3)
    settled(page)

    def drawn() -> str:
        return str(canvases.first.evaluate("canvas => canvas.toDataURL()"))

    heat = drawn()
    contours = maps.get_by_role("button", name="Contours")
    contours.press("Enter")
    expect(contours).to_be_focused()
    expect(contours).to_have_attribute("aria-pressed", "true")
    assert drawn() != heat

    maps.get_by_role("button", name="Wipe").click()
    line = maps.locator(".slider input")
    picture = maps.locator(".figures .picture").first
    picture.hover()  # brings it into view, and waits until it stands still
    box = picture.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    expect(line).to_have_value("25")

    maps.get_by_role("button", name="Heat map").click()
    reached = [text.split(" reaches ")[-1] for text in maps.locator("figcaption").all_inner_texts()]
    assert any("100 % of the scale" in text for text in reached)
    page.reload()
    expect(canvases).to_have_count(3)
    settled(page)
    faint = next(i for i, text in enumerate(reached) if "100 %" not in text)
    shared = canvases.nth(faint).evaluate("canvas => canvas.toDataURL()")
    maps.get_by_role("button", name="each its own").click()
    assert canvases.nth(faint).evaluate("canvas => canvas.toDataURL()") != shared

    methods = page.locator(".st-key-saliency")
    says = maps.locator(".stale-says")
    at_once = methods.get_by_role("radio", name="Occlusion").evaluate(
        "(option, says) => { option.click(); return says.offsetParent && says.innerText; }",
        says.element_handle(),
    )
    assert "Maps of the method before" in at_once  # before anything is computed
    expect(says).to_be_hidden()
    settled(page)

    maps.get_by_role("button", name="Enlarge: Exit 1").press("Enter")
    large = maps.get_by_role("dialog")
    expect(large.locator("figcaption")).to_contain_text("Exit 1")
    page.keyboard.press("ArrowRight")
    expect(large.locator("figcaption")).to_contain_text("Exit 2")
    page.keyboard.press("Escape")
    expect(large).to_have_count(0)

"""Charts leave the page: as pictures with their caption and the link, and as numbers."""

import csv
import io
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlparse
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from core.hub.registry import shipped_table
from tests.browser.steps import settled, wait_for_url

MODEL = "eenet20-cifar10"
SVG = "{http://www.w3.org/2000/svg}"
CHARTS = {  # by the names of their files: what is written in them, and part of their captions
    "scores": ("Exit 1", "CIFAR-10: learned confidence of right and wrong"),
    "accuracy-cost": ("plain network", "accuracy on test against relative cost"),
    "reliability": ("probability of the answer", "Reliability diagram"),
    "confusion": ("automobile", "Confusion matrix"),
}


def saved(page: Page, name: str, kind: str) -> bytes:
    """Return the file that a chart is saved as."""
    menu = page.locator(f".st-key-save-{name} details")
    menu.locator("summary").click()
    with page.expect_download() as download:
        menu.get_by_role("button", name=f", {kind}").click()
    assert download.value.suggested_filename == f"{name}.{kind.lower()}"
    expect(menu).not_to_have_attribute("open", "")
    return Path(download.value.path()).read_bytes()


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def report(page: Page) -> Page:
    """Return the page's report, opened without the app."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this page as a report").click()
    assert download.value.suggested_filename == "early-exit-report.html"
    opened = page.context.new_page()
    opened.route("**/*", lambda route: pytest.fail(f"needs {route.request.url}"))
    opened.set_content(Path(download.value.path()).read_text("utf-8"))
    return opened


@pytest.fixture
def thresholds(page: Page) -> Page:
    page.goto(f"/thresholds?model={MODEL}")
    page.locator(".st-key-confusion .heatmaplayer").wait_for()
    wait_for_url(page, "thresholds")
    settled(page)
    return page


def test_a_chart_is_saved_as_it_is_drawn_with_its_caption_and_the_link(thresholds: Page) -> None:
    for name, (written, caption) in CHARTS.items():
        drawing = ElementTree.fromstring(saved(thresholds, name, "SVG"))
        texts = [one.text or "" for one in drawing.iter(f"{SVG}text")]
        assert written in texts or any(written in text for text in texts)
        assert caption in "".join(texts)
        link = drawing.findtext(f"{SVG}desc")
        assert link == thresholds.url
        assert parse_qs(urlparse(link).query)["model"] == [MODEL]
        assert link in "".join(texts)
        with Image.open(io.BytesIO(saved(thresholds, name, "PNG"))) as picture:
            size = [2 * int(drawing.attrib[side]) for side in ("width", "height")]
            assert list(picture.size) == size
            assert len(picture.convert("RGB").getcolors(2**20) or []) > 10


def test_the_numbers_of_a_chart_are_those_of_the_table(thresholds: Page) -> None:
    table = shipped_table(MODEL, "test")
    right: Counter[str] = Counter()
    for row in rows(saved(thresholds, "scores", "CSV")):
        right[row["exit"]] += int(row["right"])
    assert list(right.values()) == table.right[:, :-1].sum(axis=0).tolist()
    best = rows(saved(thresholds, "accuracy-cost", "CSV"))
    costs = [float(row["relative cost"]) for row in best]
    assert costs == sorted(costs)
    assert {"accuracy", "threshold at Exit 1"} < set(best[0])
    mixed = rows(saved(thresholds, "confusion", "CSV"))
    wrong = sum(int(row["value"]) for row in mixed if row["value"])
    assert wrong == np.sum(~table.right[:, 0])
    assert {row["label"] for row in mixed if not row["value"]} == {row["label"] for row in mixed}


def test_a_page_is_saved_as_a_report_that_needs_nothing_else(thresholds: Page) -> None:
    reported = report(thresholds)
    expect(reported.get_by_role("heading", level=1)).to_have_text("Thresholds")
    expect(reported.get_by_role("link")).to_have_attribute("href", thresholds.url)
    expect(reported.locator("dl").first).to_contain_text("EENet-20 on CIFAR-10")
    expect(reported.get_by_role("heading", name="Accuracy against compute")).to_be_visible()
    expect(reported.get_by_role("heading", name="Find thresholds")).to_have_count(
        0
    )  # controls only
    shown = thresholds.locator(".ee-table").first.locator("tr").last.inner_text().split()
    assert reported.locator("table").first.locator("tr").last.inner_text().split() == shown
    assert reported.locator("body > div > svg").count() >= 5
    reported.close()


def test_a_report_has_the_picture_and_the_maps_of_every_exit(page: Page) -> None:
    page.goto("/?model=eenet8-mnist")
    expect(page.locator(".maps figure canvas")).to_have_count(3)
    settled(page)
    reported = report(page)
    titles = reported.get_by_role("heading", level=2).all_inner_texts()
    assert titles[:2] == ["Where each exit looked", "What else it considered"]
    assert (
        reported.locator("image").count() >= 9
    )  # the input, and a picture and a map for each exit
    reported.close()

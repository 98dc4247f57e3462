"""What follows a threshold in the browser, against what Python says."""

import base64
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from app import text
from app.components import live
from core.exits.certainty import certainty
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.routing import route
from core.hub.methods import own_criterion
from core.hub.registry import card_of, plain_table, shipped_models, shipped_table
from core.tuning.promise import reference_right
from tests.browser.steps import wait_for_url
from tests.core.exits.tables import random_table

pytestmark = pytest.mark.browser

POLICIES = 20
EARLY = [name for name in shipped_models() if card_of(name).num_exits > 1]
OF_ALL_SCORES = "eenet20-cifar10"
CASES = sorted(  # every score on one model, and every model with its method's own
    {(OF_ALL_SCORES, one) for one in card_of(OF_ALL_SCORES).criteria}
    | {(name, own_criterion(card_of(name).method, card_of(name).criteria)) for name in EARLY}
)

LIVE = "document.querySelector('.ee-live').parentElement.earlyExitLive"
SET = """([thresholds, enabled]) => {
  const sliders = [...document.querySelectorAll('.ee-control input[type=range]')];
  const switches = [...document.querySelectorAll('.ee-switch input')];
  const live = document.querySelector('.ee-live').parentElement.earlyExitLive;
  live.thresholds = thresholds;
  live.enabled = enabled;
  live.update();
  const text = (query) => [...document.querySelectorAll(query)].map((one) => one.textContent);
  return {
    thresholds: sliders.map((one) => Number(one.value)),
    enabled: switches.map((one) => one.checked),
    readings: text('.ee-reading dd:not(.ee-note, .ee-range)'),
    ranges: text('.ee-reading .ee-range'),
    shares: text('tr[data-row] .ee-share + b'),
    right: text('td[data-cell=accuracy_of_left]'),
    costs: text('td[data-cell=cost]'),
  };
}"""


def percent(fraction: float, digits: int = 1) -> str:
    return "–" if np.isnan(fraction) else f"{fraction * 100:.{digits}f}\N{NO-BREAK SPACE}%"


def open_thresholds(page: Page, name: str, criterion: str) -> None:
    on = ",".join(["0.9"] * (card_of(name).num_exits - 1))  # a default policy may have exits off
    page.goto(f"/thresholds?model={name}&criterion={criterion}&thresholds={on}")
    page.locator(".ee-table").first.wait_for()
    page.wait_for_function("window.earlyExitTables?.size > 0")


@pytest.mark.parametrize(("name", "criterion"), CASES)
def test_the_browser_says_what_python_says(page: Page, name: str, criterion: str) -> None:
    open_thresholds(page, name, criterion)
    table = shipped_table(name, "test")
    plain = plain_table(card_of(name), "test", table)
    reference = None if plain is None else reference_right(table, plain)
    random = np.random.default_rng(7)
    early = table.num_exits - 1
    for _ in range(POLICIES):
        thresholds = (1 - random.uniform(size=early) ** 3).tolist()
        # With a history the scores hang on the switches: Python sends others when these change.
        history = CRITERIA[criterion].history
        enabled = (random.uniform(size=early) < (1 if history else 0.8)).tolist()
        policy = Policy(criterion, thresholds, enabled)
        shown = page.evaluate(SET, [thresholds, enabled])
        report = evaluate(table, policy)
        assert shown["thresholds"] == pytest.approx(thresholds, abs=1e-9)
        assert shown["enabled"] == enabled
        assert shown["readings"][:2] == [
            percent(abs(1 - report.relative_cost)),
            percent(report.accuracy, 2),
        ]
        sure = certainty(table, policy, reference)
        assert sure is not None
        low, high = sure.relative_cost
        saved = (1 - high, 1 - low) if report.relative_cost <= 1 else (low - 1, high - 1)
        assert shown["ranges"] == [
            text.interval(saved),
            text.interval(sure.accuracy, 2),
            text.apart_interval(sure.difference_interval),
        ]
        assert shown["readings"][2] == text.apart(sure.difference)
        assert shown["readings"][3:] == [f"{report.rescued:,}", f"{report.ruined:,}"]
        assert shown["shares"][:-1] == [percent(share) for share in report.exit_share]
        assert shown["right"] == [
            percent(value, 2) for value in (*report.accuracy_of_left, report.accuracy)
        ]
        costs = [*table.costs.at_exits(policy.enabled).tolist(), report.relative_cost]
        assert shown["costs"] == [percent(cost) for cost in costs]


def test_dragging_a_line_of_a_histogram_moves_the_figures(page: Page) -> None:
    open_thresholds(page, "eenet8-mnist", "max_probability")
    area = page.locator('[data-histogram="0"]').bounding_box()
    assert area is not None
    dot = page.locator("[data-dot]")
    before = dot.evaluate("one => one.style.left")
    other = wait_for_url(page, "thresholds").split(",")[1]
    middle = area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + 0.9 * area["width"], middle)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 1.5, middle, steps=6)
    page.wait_for_function("document.querySelector('.ee-control input').value === '1'")
    assert dot.evaluate("one => one.style.left") != before
    page.mouse.up()
    assert wait_for_url(page, "thresholds", f"1.0,{other}")


def test_a_click_on_the_curve_takes_its_thresholds(page: Page) -> None:
    open_thresholds(page, "eenet8-mnist", "max_probability")
    first = page.evaluate(
        "document.querySelector('.ee-live').parentElement.earlyExitLive.data.front[0]"
    )
    page.evaluate(
        """() => {
          const plot = document.querySelector('.ee-plot').getBoundingClientRect();
          const points = document.querySelector('.ee-plot polyline').points;
          const at = { clientX: plot.left + points[0].x / 1000 * plot.width,
                       clientY: plot.top + points[0].y / 1000 * plot.height, bubbles: true };
          document.querySelector('.ee-plot').dispatchEvent(new MouseEvent('click', at));
        }"""
    )
    wanted = ",".join(map(repr, map(float, first[2])))
    wait_for_url(page, "thresholds", wanted)


ROUTED = """async ([store, live, message, thresholds, enabled]) => {
  const loaded = (source) => import('data:text/javascript;base64,' + source);
  const bytes = Uint8Array.from(atob(message), (one) => one.charCodeAt(0));
  (await loaded(store)).default({ data: bytes });
  const [table] = window.earlyExitTables.values();
  return (await loaded(live)).route(table, thresholds, enabled);
}"""


@pytest.mark.parametrize("exits", [2, 31, 32, 33, 64, 65, 100])
def test_any_number_of_exits_is_routed_as_python_routes(
    page: Page, exits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    monkeypatch.setattr(live, "_store", lambda key, message: sent.append(message))
    table = random_table(samples=200, exits=exits)
    early = exits - 1
    random = np.random.default_rng(exits)
    enabled = (random.uniform(size=early) < 0.9).tolist()
    policy = Policy("max_probability", (1 - random.uniform(size=early) ** 3).tolist(), enabled)
    reference = random.uniform(size=len(table)) < 0.7
    live.keep_in_browser(table, policy, "many", reference)
    sources = [
        (Path(live.__file__).parent / "js" / name).read_bytes() + more
        for name, more in (("store.js", b""), ("live.js", b"export { route };"))
    ]
    texts = [base64.b64encode(one).decode() for one in (*sources, *sent)]
    found = page.evaluate(ROUTED, [*texts, list(policy.thresholds), enabled])
    report = evaluate(table, policy)
    assert found["accuracy"] == pytest.approx(report.accuracy)
    assert found["cost"] == pytest.approx(report.relative_cost)
    assert (found["rescued"], found["ruined"]) == (report.rescued, report.ruined)
    right = route(table, policy).right
    assert found["losses"] == (reference & ~right).sum()
    assert found["gains"] == (right & ~reference).sum()
    assert found["counts"] == [round(share * len(table)) for share in report.exit_share]

"""How long a visitor waits, in a real browser.

    python -m benchmarks.app

Starts the app, opens it once to warm it up (the first visitor after a start also waits for torch
to be imported), and then measures with fresh browser contexts: from the request to the finished
Playground, and on each page from the click on its name to its heading and to the end of its script.
Medians of several runs; milliseconds. Also what a new visitor's browser loads until the Playground
is whole, how long that takes at 1.6 Mbit/s, and what a frame of a live drag costs in the browser,
for 10,000 and 100,000 samples.
"""

import base64
import statistics
import time
import zlib
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from app import views
from tests.chromium import FLAGS, find, install
from tests.running_app import running_app

RUNS = 5
PATIENCE = 120_000  # milliseconds
SLOW = 200_000  # bytes a second: 1.6 Mbit/s
PAGES = [title for title, _ in views.PAGES.values()]
SETTLED = """title => {
  const shown = document.querySelector('.ee-heading h1')?.textContent;
  const state = document.querySelector('[data-testid=stApp]')?.dataset.testScriptState;
  return shown === title && state === 'notRunning';
}"""
FRAME = """times => {
  const live = document.querySelector('.ee-live').parentElement.earlyExitLive;
  const table = window.earlyExitTables.get(live.data.table.id);
  const { samples, early, scores, right } = table;
  table.samples = samples * times;
  table.scores = new Float32Array(samples * early * times);
  table.right = new Uint32Array(samples * times);
  for (let part = 0; part < times; part++) {
    table.scores.set(scores, part * scores.length);
    table.right.set(right, part * right.length);
  }
  const frames = [];
  for (let frame = 0; frame < 200; frame++) {
    live.thresholds = live.thresholds.map(() => Math.random());
    const start = performance.now();
    live.update();
    frames.push(performance.now() - start);
  }
  Object.assign(table, { samples, scores, right });
  return frames.sort((a, b) => a - b)[100];
}"""


def milliseconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - start)


def report(what: str, times: list[float]) -> None:
    """Print a median."""
    print(f"{what:<52}{statistics.median(times):8.0f} ms")


def opened(browser: Browser, address: str) -> Page:
    """A new visitor in front of the finished Playground."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(address)
    page.locator(".ee-tops").wait_for(timeout=PATIENCE)
    return page


def first_view(browser: Browser, address: str) -> None:
    """Print what a new visitor loads, and how long it takes on a slow line."""
    files: list[int] = []
    messages = bytearray()

    def received(event: dict[str, Any]) -> None:
        text, kind = event["response"]["payloadData"], event["response"]["opcode"]
        messages.extend(base64.b64decode(text) if kind == 2 else text.encode())

    def finished(event: dict[str, Any]) -> None:
        files.append(event["encodedDataLength"])

    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")
    wire.on("Network.loadingFinished", finished)
    wire.on("Network.webSocketFrameReceived", received)
    speed = {"offline": False, "latency": 40, "downloadThroughput": SLOW, "uploadThroughput": SLOW}
    wire.send("Network.emulateNetworkConditions", speed)
    start = time.perf_counter()
    page.goto(address)
    page.locator(".ee-tops").wait_for(timeout=PATIENCE)
    seconds = time.perf_counter() - start
    page.wait_for_timeout(1000)
    page.context.close()
    print(f"{'first view at 1.6 Mbit/s: request to finished':<52}{1000 * seconds:8.0f} ms")
    for title, size in (
        ("files", sum(files)),
        ("messages, before compression", len(messages)),
        ("messages, compressed", len(zlib.compress(messages))),
    ):
        print(f"{f'first view: {title}':<52}{size / 1e3:8.0f} kB")


def main() -> None:
    """Measure and print."""
    with running_app() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(find() or install()), args=list(FLAGS)
        )
        first = milliseconds(lambda: opened(browser, address).context.close())
        print(f"{'first visitor after a start':<52}{first:8.0f} ms")
        report(
            "Playground, warm: request to finished",
            [milliseconds(lambda: opened(browser, address).context.close()) for _ in range(RUNS)],
        )
        first_view(browser, address)
        page = opened(browser, address)
        headings: dict[str, list[float]] = {title: [] for title in PAGES}
        wholes: dict[str, list[float]] = {title: [] for title in PAGES}
        for _ in range(RUNS + 1):
            for title in [*PAGES[1:], PAGES[0]]:
                start = time.perf_counter()
                page.get_by_role("link", name=title, exact=True).click()
                page.locator(".ee-heading h1", has_text=title).wait_for(timeout=PATIENCE)
                headings[title].append(1000 * (time.perf_counter() - start))
                page.wait_for_function(SETTLED, arg=title, timeout=PATIENCE)
                wholes[title].append(1000 * (time.perf_counter() - start))
                page.wait_for_timeout(1000)
        for title in PAGES:
            report(f"{title}: click to heading", headings[title][1:])
            report(f"{title}: click to settled", wholes[title][1:])
        page.get_by_role("link", name="Thresholds").click()
        page.locator(".ee-table").wait_for(timeout=PATIENCE)
        page.wait_for_function("window.earlyExitTables?.size > 0")
        for times in (1, 10):
            frame = page.evaluate(FRAME, times)
            print(f"{f'one frame of a drag, {times * 10_000:,} samples':<52}{frame:8.2f} ms")
        browser.close()


if __name__ == "__main__":
    main()

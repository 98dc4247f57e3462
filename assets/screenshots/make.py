"""Take the screenshots in this folder from the running app.

    python -m assets.screenshots.make

Needs what the browser tests need (`requirements-dev.txt` and a Chromium or Chrome).
"""

from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.chromium import FLAGS, find, install
from tests.running_app import running_app

FOLDER = Path(__file__).parent
WIDTH = 1440
PAGES = {
    "playground": ("/?model=ptee-lite0-photos&sample=16", ".ee-tops"),
    "present": ("/present?model=eenet-lite0-photos&sample=26", '[data-exit="open"]'),
    "thresholds": ("/thresholds?model=eenet-airbench-large-cifar10", ".ee-table"),
}
PATIENCE = 120_000  # milliseconds


def main() -> None:
    """Take each page in light and in dark, as high as it is."""
    with running_app() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(find() or install()), args=list(FLAGS)
        )
        for name, (path, last) in PAGES.items():
            for scheme in ("light", "dark"):
                picture(browser, address + path, last, scheme, FOLDER / f"{name}-{scheme}.png")
        browser.close()


def picture(browser: Browser, url: str, last: str, scheme: str, file: Path) -> None:
    """Take one page once the element ``last`` is there."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto(url)
    page.locator(last).wait_for(timeout=PATIENCE)
    for busy in ("being computed", "being measured"):
        page.get_by_text(busy).last.wait_for(state="hidden", timeout=PATIENCE)
    page.wait_for_load_state("networkidle")
    height = page.get_by_test_id("stMain").evaluate("element => element.scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.wait_for_timeout(1500)  # charts draw themselves anew
    page.screenshot(path=file)
    page.close()


if __name__ == "__main__":
    main()

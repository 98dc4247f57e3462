"""The running app and a real browser."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.steps import PATIENCE, visit
from tests.chromium import FLAGS, find
from tests.running_app import running_app


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the app runs."""
    with running_app() as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium or Chrome: optional on a desk, required in CI."""
    path = find()
    if path is None:
        reason = "expected a Chromium or Chrome, but found none; run `python -m tests.chromium`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(path), args=list(FLAGS))
        expect.set_options(timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visits(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """Where a page keeps what another needs again, as the app's scripts."""
    with visit(browser, address) as context:
        yield context


@pytest.fixture
def page(visits: BrowserContext) -> Iterator[Page]:
    """A visitor's new tab, in a browser that has seen the app; addresses begin at the app's."""
    page = visits.new_page()
    yield page
    page.close()


@pytest.fixture
def other(browser: Browser, address: str) -> Iterator[Page]:
    """The page of somebody else, in a browser of their own."""
    with visit(browser, address) as context:
        yield context.new_page()

"""The running app and a real browser."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.steps import PATIENCE
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
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A new visitor's page; addresses begin at the app's."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, base_url=address)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield page
    context.close()

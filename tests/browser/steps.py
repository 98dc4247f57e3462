"""What several tests do in the browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlparse

from playwright.sync_api import Browser, BrowserContext, Page, expect

PATIENCE = 120_000  # milliseconds; a busy machine takes its time


@contextmanager
def visit(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """Yield a browser that has seen nothing yet; addresses begin at the given one."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, base_url=address)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def settled(page: Page) -> None:
    """Wait until the script has run to its end."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def wait_for_url(page: Page, name: str, value: str | None = None) -> str:
    """Wait until the address has the parameter (with that value); return its value."""

    def there(url: str) -> bool:
        found = parse_qs(urlparse(url).query).get(name)
        return found is not None and (value is None or found[0] == value)

    page.wait_for_url(there, timeout=PATIENCE)
    return parse_qs(urlparse(page.url).query)[name][0]

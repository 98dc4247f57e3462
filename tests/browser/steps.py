"""What several tests do in the browser."""

from urllib.parse import parse_qs, urlparse

from playwright.sync_api import Page

PATIENCE = 60_000  # milliseconds


def wait_for_url(page: Page, name: str, value: str | None = None) -> str:
    """Wait until the address has the parameter (with that value); return its value."""

    def there(url: str) -> bool:
        found = parse_qs(urlparse(url).query).get(name)
        return found is not None and (value is None or found[0] == value)

    page.wait_for_url(there, timeout=PATIENCE)
    return parse_qs(urlparse(page.url).query)[name][0]

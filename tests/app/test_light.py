"""What a browser loads is small, and the same for one that cannot unpack."""

import gzip
import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from app import icons
from tests.running_app import running_app


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_app() as address:
        yield address


def fetched(url: str, **headers: str) -> tuple[bytes, dict[str, str]]:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read(), {name.lower(): value for name, value in answer.headers.items()}


def test_scripts_and_styles_come_compressed_and_are_what_they_were(address: str) -> None:
    page, headers = fetched(address, **{"Accept-Encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    page = gzip.decompress(page)
    assert b"SourceSans" not in page
    scripts = re.findall(rb'(?:src|href)="\./(static/js/[^"]+\.js)"', page)
    assert len(scripts) > 5
    for _ in range(2):  # the second time it is kept
        plain = small = 0
        for script in scripts:
            url = f"{address}/{script.decode()}"
            packed, headers = fetched(url, **{"Accept-Encoding": "gzip, br"})
            body, _ = fetched(url)
            assert int(headers["content-length"]) == len(packed)
            packs = headers.get("content-encoding") == "gzip"
            assert (gzip.decompress(packed) if packs else packed) == body
            plain, small = plain + len(body), small + len(packed)
        assert small < 0.35 * plain


def test_pictures_and_parts_of_files_come_as_they_are(address: str) -> None:
    page, headers = fetched(address)
    assert "content-encoding" not in headers
    (style,) = re.findall(rb'href="\./(static/css/index[^"]+\.css)"', page)
    url = f"{address}/{style.decode()}"
    part, headers = fetched(url, **{"Accept-Encoding": "gzip", "Range": "bytes=0-99"})
    assert "content-encoding" not in headers
    assert len(part) == 100
    css = gzip.decompress(fetched(url, **{"Accept-Encoding": "gzip"})[0])
    assert b"SourceSans" not in css
    assert b"Material" in css


def test_the_icons_are_a_small_font_that_a_browser_keeps(address: str) -> None:
    page = gzip.decompress(fetched(address, **{"Accept-Encoding": "gzip"})[0])
    (style,) = re.findall(rb'href="\./(static/css/index[^"]+\.css)"', page)
    css, _ = fetched(f"{address}/{style.decode()}")
    (name,) = re.findall(rf"{icons.NAME}[^)]+woff2".encode(), css)
    url = f"{address}/static/media/{name.decode()}"
    font, headers = fetched(url)
    while len(font) > 100_000:  # the small one is being made
        assert font[:4] == b"wOF2"
        font, headers = fetched(url)
    assert font[:4] == b"wOF2"
    with pytest.raises(urllib.error.HTTPError, match="304"):
        fetched(url, **{"If-None-Match": headers["etag"]})
